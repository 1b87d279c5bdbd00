"""A model at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harmonium.plots import style
from harmonium.plots.tiles import Shape, draw_heat_map, draw_tiles, largest_columns, mosaic, scale_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 64
"""Rows and filters."""


def picture(data: Any, samples: Any, weight: Any, shape: Shape | None = None) -> Figure:
    """Data, samples of the model and its filters in one wide figure.

    Args:
        data: (rows, n_visible); up to 64 rows are shown, as of the samples.
        samples: (rows, n_visible).
        weight: (n_visible, n_hidden); the 64 columns with the largest norms are shown.
        shape: (height, width) where rows are pictures.
    """
    weight = largest_columns(style.numbers("weight", weight), SHOWN)
    data, samples = style.numbers("data", data)[:SHOWN], style.numbers("samples", samples)[:SHOWN]
    scale = scale_of(data)
    panels = (
        ("data", data, scale),
        ("samples of the model", samples, scale),
        ("what its hidden units look for", weight, scale_of(weight, signed=True)),
    )
    fig = style.figure(12.0, 4.25)
    style.apart(fig)
    for ax, (title, rows, colours) in zip(fig.subplots(1, 3), panels, strict=True):
        if shape:
            draw_tiles(ax, mosaic(rows, shape, columns=8), colours, title)
        else:
            draw_heat_map(ax, rows, colours, title, bar=False)
    return fig
