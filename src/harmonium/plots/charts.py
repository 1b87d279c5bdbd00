"""Curves and comparisons: how learning went, and what the model has learned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records = Sequence[Mapping[str, Any]]
"""One mapping for each record of training, as in `History.records` and in the lines of metrics.jsonl."""

MOST_COLUMNS = 1000
"""Columns whose covariances are looked at; of more an even choice."""
LEAST_SPAN = 0.02
"""Nats that the axis of a learning curve spans at least: below that rounding would look like a course."""
MOST_POINTS = 20_000
"""Points of a scatter; of more pairs an even choice is drawn."""


def series(records: Records, key: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of the records that have a finite number under this key."""
    pairs = [(r["step"], r[key]) for r in records if _number(r.get(key)) and "step" in r]
    steps, values = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(steps, dtype=float), np.array(values, dtype=float)


LINES = "-", (0, (5, 1.5)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5))
"""Of layers that learned one after the other."""


def by_layer(records: Records) -> list[Records]:
    """The records of each layer, in order, where layers learned one after the other; otherwise all in one."""
    parts: dict[Any, list[Mapping[str, Any]]] = {}
    for record in records:
        parts.setdefault(record.get("layer"), []).append(record)
    return list(parts.values())


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def learning_curve(records: Records, baseline: float | None = None, kept: float | None = None) -> Figure:
    """Log-likelihood of training and validation rows while learning, nats per row; one point is marked.

    It is that of the update `kept`, whose model was kept; by default the best one of the validation rows.

    The band is the 95 % interval, as far as it is known; `baseline` is what independent units reach. Layers
    that learned one after the other have a line each, and the point is the last one's.
    """
    parts = by_layer(records)
    fig = style.figure(9.6, 3.8)
    ax = style.axes(fig.add_subplot(), "", "update", "log-likelihood, nats per row")
    for key, colour, label in (
        ("train_log_likelihood", style.DATA, "training rows"),
        ("validation_log_likelihood", style.HELD_OUT, "validation rows"),
    ):
        for k, part in enumerate(parts):
            steps, values = series(part, key)
            if len(steps):
                name = label if len(parts) == 1 else f"{label}, layer {k + 1}"
                mark = "o" if len(steps) == 1 else None
                ax.plot(steps, values, color=colour, lw=1.8, ls=LINES[k % 4], label=name, marker=mark)
                _band(ax, part, key, colour)
    steps, values = series(parts[-1] if parts else (), "validation_log_likelihood")
    if len(steps):
        best = int(np.argmax(values) if kept is None else np.argmin(np.abs(steps - kept)))
        name = "best of these" if kept is None else "the model kept"
        label = f"{name}, {values[best]:.2f}".replace("-", "−")
        ax.plot(steps[best], values[best], "o", ms=7, mfc="none", mew=1.8, color=style.HELD_OUT, label=label)
    if baseline is not None:
        ax.axhline(baseline, color=style.MUTED, lw=1.2, ls=(0, (4, 3)), label="independent units")
    _leave_out_the_fall(ax, baseline)
    style.legend(fig, loc="outside upper left", ncols=4)
    return fig


def _band(ax: Axes, records: Records, key: str, colour: str) -> None:
    known = [r for r in records if _number(r.get(key)) and _number(r.get(f"{key}_stderr"))]
    if known:
        middle, half = (np.array([float(r[k]) for r in known]) for k in (key, f"{key}_stderr"))
        steps = [r["step"] for r in known]
        ax.fill_between(steps, middle - 1.96 * half, middle + 1.96 * half, color=colour, alpha=0.2, lw=0)


def _leave_out_the_fall(ax: Axes, baseline: float | None) -> None:
    """First records can lie so low that the rest looks flat: show little below the baseline or the median."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in ax.lines])
    if len(values):
        top = values.max()
        floor = baseline if baseline is not None and baseline < top else float(np.median(values))
        room = max(0.12 * (top - floor), LEAST_SPAN / 2)
        ax.set_ylim(max(values.min(), floor - (top - floor)) - room, top + room)
        ax.ticklabel_format(axis="y", useOffset=False)


PANELS = {
    "free_energy_gap": "free-energy gap, nats",
    "r_hat": "R̂ of the chains",
    "chain_ess": "effective samples",
    "gibbs_steps": "sweeps per update",
    "gradient_norm": "norm of the gradient",
    "learning_rate": "step size",
    "weight_norm": "norm of the weights",
    "updates_per_second": "updates per second",
}
"""What else a record can hold, and what to call it."""


def panels(records: Records) -> Figure | None:
    """Small charts of whatever else was recorded and changed, None where nothing did."""
    there = [(key, title) for key, title in PANELS.items() if len(np.unique(series(records, key)[1])) > 1]
    if not there:
        return None
    down, last = -(-len(there) // 4), max(r["step"] for r in records)
    fig = style.figure(9.6, 1.9 * down)
    grid = fig.subplots(down, 4, squeeze=False)
    for ax in grid.flat[len(there) :]:
        ax.set_visible(False)
    for ax, (key, title) in zip(grid.flat, there, strict=False):
        style.axes(ax, title)
        ax.title.set_fontsize(9.5)
        for k, part in enumerate(by_layer(records)):
            ax.plot(*series(part, key), color=style.DATA, lw=1.4, ls=LINES[k % 4])
        values = series(records, key)[1]
        ax.locator_params(nbins=4)
        ax.set_xlim(0, last)
        if key == "r_hat":  # 1 is perfect; a narrower axis would make a drama of the third decimal
            ax.set_ylim(1.0, max(1.25, 1.05 * values.max()))
        elif values.min() >= 0:
            ax.set_ylim(0, 1.08 * values.max())
        ax.tick_params(labelsize=8)
    return fig


def singular_values(records: Records, weight: Any, kept: float | None = None) -> Figure:
    """The singular values of the weights: while learning, and of the model in the end.

    Each line is a direction that the model has learned; they leave the noise one after another. `kept` is the
    update whose model was kept.
    """
    last = np.linalg.svd(style.numbers("weight", weight), compute_uv=False)
    course = [(r["step"], r["singular_values"]) for r in records if r.get("singular_values")]
    fig = style.figure(9.6, 3.4)
    left, right = fig.subplots(1, 2, width_ratios=(1.6, 1)) if len(course) > 1 else (None, fig.add_subplot())
    if left is not None:
        _lines_of_singular_values(left, course)
        if kept is not None:
            left.axvline(kept, color=style.MUTED, lw=1, ls=(0, (4, 3)), label="the model kept")
            style.legend(left, loc="upper left")
    style.axes(right, "of the model", "rank", "singular value")
    right.plot(np.arange(1, len(last) + 1), last, "o", ms=3.5, color=style.MODEL)
    right.set_ylim(0, None)
    return fig


def _lines_of_singular_values(ax: Axes, course: list[tuple[float, Sequence[float]]]) -> None:
    import matplotlib

    style.axes(ax, "while learning", "update", "singular value")
    count = min(len(values) for _, values in course)
    table = np.array([list(values)[:count] for _, values in course])
    colours = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.85, count))
    for values, colour in zip(table.T, colours, strict=True):
        ax.plot([step for step, _ in course], values, color=colour, lw=1.2)
    ax.set_ylim(0, None)


def moments(data: Any, samples: Any) -> Figure:
    """Means and covariances of the columns, in the data and in samples: on the diagonal they agree."""
    data, samples = style.numbers("data", data), style.numbers("samples", samples)
    fig = style.figure(9.6, 4.6)
    left, right = fig.subplots(1, 2)
    _agreement(left, data.mean(0), samples.mean(0), "means of columns", float(data.std(0).mean()))
    if data.shape[1] > 1 and min(len(data), len(samples)) > 1:
        some = slice(None, None, -(-data.shape[1] // MOST_COLUMNS))
        pairs = np.triu_indices(len(data.T[some]), k=1)
        x, y = (np.cov(rows.T[some])[pairs] for rows in (data, samples))
        _agreement(right, x, y, "covariances of pairs of columns")
    else:
        right.set_visible(False)
    return fig


def _agreement(ax: Axes, x: np.ndarray, y: np.ndarray, title: str, span: float = 0.0) -> None:
    """A scatter of y against x with the diagonal; the axes are at least `span` long."""
    stride = -(-len(x) // MOST_POINTS)
    style.axes(ax, title, "data", "samples of the model")
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    margin = max(0.05 * (high - low), 0.5 * (span - (high - low))) or 0.5
    ends = (low - margin, high + margin)
    ax.plot(ends, ends, color=style.MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
    few = len(x) <= 300
    size, alpha = (16, 0.7) if few else (5, 0.35)
    ax.scatter(x[::stride], y[::stride], s=size, alpha=alpha, color=style.MODEL, lw=0, rasterized=not few)
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.locator_params(nbins=5)
    error = float(np.sqrt(np.mean((x - y) ** 2)))
    note = f"root mean square difference {error:.3g}"
    ax.text(0.03, 0.96, note, transform=ax.transAxes, va="top", fontsize=9, color=style.MUTED)


def free_energies(values: Mapping[str, Any]) -> Figure:
    """Histograms of the free energies of training rows, held-out rows and samples, nats.

    The model knows rows and samples alike where the histograms agree; held-out rows that lie higher than
    training rows are overfitting.
    """
    colours = {"training rows": style.DATA, "samples of the model": style.MODEL}
    fig = style.figure(9.6, 3.2)
    ax = style.axes(fig.add_subplot(), "", "free energy F(v), nats", "density")
    found = {label: style.numbers(label, x) for label, x in values.items()}
    joint = np.concatenate(list(found.values()))
    low, high = np.quantile(joint, (0.001, 0.999))
    edges = np.linspace(low, high if high > low else low + 1.0, 41).tolist()
    for label, x in found.items():
        colour = colours.get(label, style.HELD_OUT)
        ax.hist(x, edges, density=True, histtype="stepfilled", color=colour, alpha=0.15)
        ax.hist(x, edges, density=True, histtype="step", color=colour, lw=1.6, label=label)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    style.legend(ax)
    return fig
