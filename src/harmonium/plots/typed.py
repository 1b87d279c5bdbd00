"""Typed columns of a table beside those of a model's samples, one small panel for each; and their pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harmonium.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 24  # columns shown at most
ACROSS = 4
BARS = 10  # values of a column that get a bar each; numbers with more get a density
BINS = 24
SKEWED = 3.0  # skewness from which positive numbers are shown by their logarithms
NAMED = 6  # pairs that the picture names


def columns(data: pd.DataFrame, samples: pd.DataFrame, left_out: int = 0) -> Figure:
    """The columns of a table, bars for values that are told apart and densities for numbers: data beside
    samples.

    Args:
        data: (rows, columns).
        samples: (rows, columns) of the same names.
        left_out: number of columns that aren't shown, to be said.
    """
    names = list(data.columns)[:PANELS]
    left_out += data.shape[1] - len(names)
    down = -(-len(names) // ACROSS)
    fig = style.figure(12.0, 2.3 * down + 0.4)
    grid = fig.subplots(down, ACROSS, squeeze=False).flatten()
    for ax, name in zip(grid, names, strict=False):
        _panel(style.axes(ax, str(name)), data[name].dropna(), samples[name].dropna())
    for ax in grid[len(names) :]:
        ax.set_visible(False)
    handles = [_swatch(style.DATA), _swatch(style.MODEL)]
    more = f"; {left_out} further columns are not shown" if left_out else ""
    fig.legend(
        handles,
        ["data", f"samples of the model{more}"],
        loc="outside upper left",
        frameon=False,
        ncols=2,
        fontsize=9,
    )
    return fig


def _swatch(colour: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  # matplotlib is loaded late
    from matplotlib.patches import Patch

    return Patch(color=colour)


def _panel(ax: Axes, data: pd.Series, samples: pd.Series) -> None:
    import pandas as pd

    if (
        pd.api.types.is_bool_dtype(data.dtype)
        or not pd.api.types.is_numeric_dtype(data.dtype)
        or data.nunique() <= BARS
    ):
        _bars(ax, data, samples)
    else:
        _densities(ax, data.to_numpy(dtype=float), samples.to_numpy(dtype=float))
    ax.set_yticks([])


def _bars(ax: Axes, data: pd.Series, samples: pd.Series) -> None:
    import pandas as pd

    shares = [x.astype(object).value_counts(normalize=True) for x in (data, samples)]
    values = shares[0].index.union(shares[1].index, sort=False)
    if pd.api.types.is_numeric_dtype(data.dtype):
        values = sorted(values)
    else:
        values = list(
            shares[0].reindex(values, fill_value=0.0).sort_values(ascending=False, kind="stable").index
        )
    values = values[: 2 * BARS]
    at = np.arange(len(values))
    for shift, share, colour in ((-0.2, shares[0], style.DATA), (0.2, shares[1], style.MODEL)):
        ax.bar(at + shift, [share.get(v, 0.0) for v in values], 0.38, color=colour)
    # whole numbers, which gaps make real: 0, not 0.0
    whole = data.dtype.kind == "f" and all(float(v).is_integer() for v in values)
    labels = [str(int(v)) if whole else str(v) for v in values]
    labels = [text if len(text) < 9 else text[:8] + "…" for text in labels]
    ax.set_xticks(at, labels, rotation=45 if sum(map(len, labels)) > 24 else 0, fontsize=8)


def _densities(ax: Axes, data: np.ndarray, samples: np.ndarray) -> None:
    spread = float(data.std()) or 1.0
    skewness = float((((data - data.mean()) / spread) ** 3).mean())
    low, high = np.quantile(data, [0.005, 0.995])
    if skewness > SKEWED and data.min() > 0:
        ax.set_xscale("log")
        edges = np.geomspace(low, high, BINS + 1)
    else:
        edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    for x, colour, filled in ((data, style.DATA, True), (samples, style.MODEL, False)):
        share = np.histogram(x, edges)[0] / max(len(x), 1)
        ax.stairs(share, edges, color=colour, fill=filled, alpha=0.45 if filled else 1.0, lw=1.6)


def pairs(in_data: np.ndarray, in_model: np.ndarray, names: list[str], error: float = 0.0) -> Figure:
    """How much each pair of columns says about one another, in the data and in samples of the model: points
    on the diagonal are learned.

    Args:
        in_data: mutual information of each pair, nats, (columns, columns).
        in_model: the same of the samples.
        names: of the columns.
        error: of one of these numbers, about.
    """
    upper = np.triu_indices(len(names), 1)
    x, y = in_data[upper], in_model[upper]
    fig = style.figure(6.4, 5.2)
    ax = style.axes(fig.add_subplot(), "", "mutual information in the data, nats", "in samples of the model")
    top = 1.05 * max(float(x.max(initial=0.0)), float(y.max(initial=0.0)), 1e-3)
    ax.fill_between([0, top], [-error, top - error], [error, top + error], color=style.LINE, alpha=0.5, lw=0)
    ax.plot([0, top], [0, top], color=style.LINE, lw=1.0)
    ax.scatter(x, y, s=14, color=style.MODEL, alpha=0.7, lw=0)
    for k in np.argsort(-np.abs(x - y), kind="stable")[:NAMED]:
        if abs(x[k] - y[k]) > error:
            label = f"{names[upper[0][k]]}, {names[upper[1][k]]}"
            ax.annotate(label, (x[k], y[k]), (4, 2), textcoords="offset points", fontsize=8, color=style.INK)
    ax.set_xlim(0, top)
    ax.set_ylim(0, top)
    return fig
