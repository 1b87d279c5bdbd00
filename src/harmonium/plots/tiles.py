"""Rows as pictures: side by side where a row is one, otherwise as a heat map of rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harmonium import checks
from harmonium.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Shape = tuple[int, int]
Names = tuple[str, ...]

WIDTH = 9.6
"""Inches of a figure that is as wide as a page."""


class Scale(NamedTuple):
    """The values at the two ends of the colours: from paper to ink, or around zero where signed."""

    low: float
    high: float
    signed: bool = False


LEAST = 6
"""Pixels of the shorter side of a picture at least, so that the lines between pictures are thin."""
MOST_ROWS = 100
"""Rows of a heat map; more can't be told apart."""
MOST_NAMES = 32
"""Columns of a heat map that are named one by one."""


def mosaic(rows: np.ndarray, shape: Shape, columns: int | None = None) -> np.ndarray:
    """The rows as pictures of (height, width) in a grid, with lines of NaN between them; cells of small
    pictures are squares of several pixels.

    Args:
        rows: (n, height·width).
        shape: (height, width).
        columns: pictures side by side; by default about as many as make the grid square.

    Raises:
        ValueError: rows of another width.

    >>> mosaic(np.array([[1.0, 2.0], [3.0, 4.0]]), (1, 2), columns=2)[0]
    array([ 1.,  1.,  1.,  1.,  1.,  1.,  2.,  2.,  2.,  2.,  2.,  2., nan,
            3.,  3.,  3.,  3.,  3.,  3.,  4.,  4.,  4.,  4.,  4.,  4.])
    """
    height, width = shape
    if rows.ndim != 2 or rows.shape[1] != height * width or len(rows) == 0:
        raise ValueError(
            f"rows must have the shape (n, {height * width}) for pictures of {height} x {width},"
            f" got {checks.describe(rows)}."
        )
    columns = columns or max(1, round(math.sqrt(len(rows) * height / width)))
    columns = min(columns, len(rows))
    size = -(-LEAST // min(shape))  # pixels of a cell
    height, width = size * height, size * width
    gap = max(1, round(min(height, width) / 14))
    down = -(-len(rows) // columns)
    canvas = np.full((down * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for k, row in enumerate(rows):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        cells = row.reshape(shape).repeat(size, 0).repeat(size, 1)
        canvas[top : top + height, left : left + width] = cells
    return canvas


def tiles(
    rows: Any,
    shape: Shape | None = None,
    *,
    title: str = "",
    columns: int | None = None,
    scale: Scale | None = None,
) -> Figure:
    """The rows as pictures side by side, or as one heat map where they have no shape.

    Args:
        rows: (n, width).
        shape: (height, width) of each picture, or None.
        title: of the figure.
        columns: pictures side by side.
        scale: of the colours; by default that of the rows.
    """
    rows = style.numbers("rows", rows)
    scale = scale or scale_of(rows)
    if shape is None:
        fig = style.figure(WIDTH, 4.4)
        draw_heat_map(fig.add_subplot(), rows, scale, title)
        return fig
    grid = mosaic(rows, shape, columns)
    height = WIDTH * grid.shape[0] / grid.shape[1]
    fig = style.figure(WIDTH, height + (0.35 if title else 0.0))
    draw_tiles(fig.add_subplot(), grid, scale, title)
    return fig


def tiles_png(rows: Any, shape: Shape | None = None) -> bytes:
    """The content of a PNG file that shows the rows: every pixel of a picture as a square of its own."""
    rows = style.numbers("rows", rows)
    if shape is None:
        return style.png(tiles(rows, None))
    scale, grid = scale_of(rows), mosaic(rows, shape)
    size = max(1, 800 // max(grid.shape))
    colours = style.colour_map(scale.signed)
    share = np.ma.masked_invalid((grid - scale.low) / (scale.high - scale.low))
    pixels = colours(share, bytes=True).repeat(size, axis=0).repeat(size, axis=1)
    return style.png_of_pixels(pixels)


def side_by_side(data: Any, samples: Any, shape: Shape | None = None, names: Names | None = None) -> Figure:
    """What a model has learned from, and what it makes of it: rows of data beside samples."""
    data, samples = style.numbers("data", data), style.numbers("samples", samples)
    scale = scale_of(data)
    fig = style.figure(WIDTH, 5.0 if shape else 4.4)
    left, right = fig.subplots(1, 2)
    style.apart(fig)
    for ax, rows, title in ((left, data, "data"), (right, samples, "samples of the model")):
        if shape:
            draw_tiles(ax, mosaic(rows, shape), scale, title)
        else:
            order = np.argsort(along_first_component(data, rows), kind="stable")
            draw_heat_map(ax, rows[order], scale, title, names, bar=ax is right)
    return fig


def filters(weight: Any, shape: Shape | None = None, most: int = 96, names: Names | None = None) -> Figure:
    """The columns of the weights, one picture per hidden unit, those with the largest norm first.

    Args:
        weight: (n_visible, n_hidden).
        shape: (height, width) of the visible units, or None for a heat map of the matrix.
        most: hidden units to show.
        names: of the visible units.
    """
    weight = style.numbers("weight", weight)
    chosen = largest_columns(weight, most)
    scale = scale_of(chosen, signed=True)
    if shape:
        columns = min(16, len(chosen))
        full = len(chosen) // columns * columns  # no row of pictures is left half empty
        return tiles(chosen[:full], shape, columns=columns, scale=scale)
    fig = style.figure(WIDTH, 4.4)
    ax = fig.add_subplot()
    draw_heat_map(ax, chosen, scale, names=names)
    ax.set_ylabel("hidden unit")
    return fig


def largest_columns(weight: np.ndarray, number: int) -> np.ndarray:
    """The columns with the largest norms as rows, (number, n_visible), largest first."""
    order = np.argsort(-np.linalg.norm(weight, axis=0), kind="stable")
    return weight[:, order[:number]].T


def draw_tiles(ax: Axes, grid: np.ndarray, scale: Scale, title: str = "") -> None:
    """A grid made by `mosaic`, pixel by pixel."""
    style.blank(ax, title)
    show(ax, grid, scale)


def draw_heat_map(
    ax: Axes, rows: np.ndarray, scale: Scale, title: str = "", names: Names | None = None, bar: bool = True
) -> None:
    """Rows below each other, a colour for each value, and a bar that says which."""
    style.axes(ax, title, "" if names else "column", "row")
    image = show(ax, rows[:MOST_ROWS], scale, aspect="auto")
    ax.locator_params(integer=True)
    if names and len(names) <= MOST_NAMES:
        labels = [name if len(name) <= 18 else name[:17] + "…" for name in names]
        ax.set_xticks(range(len(labels)), labels, rotation=90, fontsize=8)
    if bar:
        legend = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02)
        legend.outline.set_visible(False)
        legend.ax.tick_params(colors=style.MUTED, labelsize=8.5, length=2)


def show(ax: Axes, values: np.ndarray, scale: Scale, **how: Any) -> AxesImage:
    """An image of values on axes; where there are none, the colour of thin lines."""
    low, high, signed = scale
    masked = np.ma.masked_invalid(values)
    colours = style.colour_map(signed)
    return ax.imshow(masked, cmap=colours, vmin=low, vmax=high, interpolation="none", **how)


def scale_of(rows: np.ndarray, signed: bool = False) -> Scale:
    """The scale that shows these values best, outliers left aside.

    >>> scale_of(np.array([[0, 1]])), scale_of(np.array([[-1, 1]])), scale_of(np.array([[-3.0, 1.5, 3.0]]))
    (Scale(low=0.0, high=1.0, signed=False), Scale(low=-1.0, high=1.0, signed=False),
     Scale(low=-3.0, high=3.0, signed=True))
    """
    for low in (0.0, -1.0):
        if not signed and np.isin(rows, (low, 1.0)).all():
            return Scale(low, 1.0)
    if signed or rows.min() < 0 < rows.max():
        top = float(np.quantile(np.abs(rows), 0.998)) or 1.0
        return Scale(-top, top, True)
    low, high = (float(q) for q in np.quantile(rows, (0.002, 0.998)))
    return Scale(low, high) if high > low else Scale(low - 0.5, high + 0.5)


def along_first_component(data: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Coordinates of rows along the first principal component of the data, (n,): an order to show them in."""
    centre = data.mean(axis=0)
    axis = np.linalg.svd(data[:1000] - centre, full_matrices=False)[2][0]
    return (rows - centre) @ (axis if axis[np.argmax(np.abs(axis))] > 0 else -axis)
