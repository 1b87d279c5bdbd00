"""The cells of a table that a model didn't expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harmonium.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harmonium.answers.surprises import Surprise

COLUMNS = 16  # shown at most, the most surprising ones
LETTERS = 12  # of a value
DARK = 0.6  # share of the largest excess from which letters are white


def surprising_cells(found: Surprise, n: int = 20) -> Figure:
    """The rows that hold the `n` most surprising cells as a table, each cell the darker the further its
    surprise is above what the model expected.

    Args:
        found: what `hm.surprise` gave.
        n: number of cells.
    """
    import matplotlib

    excess = found.excess.to_numpy()
    order = np.argsort(-np.nan_to_num(excess, nan=-np.inf), axis=None)[:n]
    rows = list(dict.fromkeys(int(k) // excess.shape[1] for k in order))
    worst = np.nan_to_num(excess[rows], nan=-np.inf).max(0)
    columns = np.sort(np.argsort(-worst, kind="stable")[:COLUMNS])
    shown = excess[np.ix_(rows, columns)]
    top = max(float(np.nan_to_num(shown).max()), 1e-9)
    fig = style.figure(1.6 + 0.85 * len(columns), 1.0 + 0.3 * len(rows))
    ax = style.blank(fig.subplots(), "nats above the expected surprise")
    colours = matplotlib.colormaps["Oranges"].with_extremes(bad=style.LINE)
    image = ax.imshow(shown, cmap=colours, vmin=0.0, vmax=top, aspect="auto")
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            light = shown[i, j] > DARK * top
            text = _short(found.values.iloc[row, column])
            ax.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if light else style.INK)
    ax.set_xticks(range(len(columns)), [_short(found.cells.columns[j]) for j in columns], fontsize=8)
    ax.set_yticks(range(len(rows)), [_short(found.cells.index[i]) for i in rows], fontsize=8)
    fig.colorbar(image, ax=ax, shrink=0.8).ax.tick_params(labelsize=8, colors=style.MUTED)
    return fig


def _short(value: object) -> str:
    import pandas as pd

    if bool(pd.isna(value)):  # one cell
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"
