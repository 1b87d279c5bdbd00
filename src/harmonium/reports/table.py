"""`hm.report`: what a model has made of a table, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium import __version__
from harmonium.answers.form import Form, codes_of
from harmonium.answers.surprises import surprise_of
from harmonium.columns.frames import as_pandas, is_frame
from harmonium.likelihood import Estimate, RowEstimates, log_probabilities
from harmonium.models import EnergyModel
from harmonium.models.energy import energy_model
from harmonium.models.intake import rows_of
from harmonium.plots import learning_curve
from harmonium.plots.page import Card, Section, page
from harmonium.plots.surprise import surprising_cells
from harmonium.plots.typed import PANELS, columns, pairs
from harmonium.recipes import History
from harmonium.reports.pairs import mutual_information
from harmonium.sampling import sample
from harmonium.store import replacing

if TYPE_CHECKING:
    import pandas as pd

SAMPLES = 2000  # drawn to compare with the table
ROWS, LOOKED = 1000, 20_000  # rows, and cells of a wide table, in which surprising cells are looked for,
CELLS = 20  # and so many of them shown
WORST = 8  # pairs named
COUNTED = 20_000  # rows of the table in which pairs are counted
PAIRED = 60  # columns up to which all pairs are compared


@dataclass(frozen=True, eq=False)
class Report:
    """A report as one web page that loads nothing.

    Attributes:
        html: the page.
        log_likelihood: of the table's rows, nats per row.
        pairs: the pairs of columns that the model gets most wrong: mutual information in the data and in its
            samples, nats.
    """

    html: str
    log_likelihood: Estimate
    pairs: pd.DataFrame

    def save(self, path: str | Path) -> Path:
        """Write the page; an older file is replaced in one step."""
        path = Path(path)
        with replacing(path) as new:
            new.write_text(self.html, encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        from html import escape

        return f'<iframe style="width: 100%; height: 800px; border: 0" srcdoc="{escape(self.html)}"></iframe>'


def report(
    model: EnergyModel, X: Any, *, history: History | None = None, title: str = "", seed: int = 0
) -> Report:
    """What a model has made of a table: its likelihood, each column and each pair of columns in the data and
    in samples, and the cells that it finds most surprising.

    Args:
        model: the model.
        X: rows, as `hm.log_likelihood` takes them, best ones that the model hasn't learned from; cells may be
            empty.
        history: what `hm.fit` returned, for the course of training.
        title: of the page.
        seed: of samples, and of log Z.

    Raises:
        TypeError, ValueError: as `hm.log_likelihood`.
    """
    table, drawn = _tables(energy_model("model", model), X, seed)
    each = log_probabilities(model, X, seed=seed)
    found = each.mean()
    named, of_pairs = pairs_section(table, drawn)
    sections = [
        columns_section(table, drawn),
        of_pairs,
        _surprising(model, X, each, seed),
        _learning(history),
        _table(model, table),
    ]
    cards = [
        Card("log-likelihood", f"{found.value:.2f}".replace("-", "−"), "nats per row"),
        Card("rows", f"{len(table):,}", f"{table.shape[1]} columns"),
        Card("empty cells", f"{float(table.isna().to_numpy().mean()):.1%}"),
        Card("parameters", f"{sum(p.numel() for p in model.parameters()):,}", type(model).__name__),
    ]
    lead = (
        f"{len(table):,} rows of {table.shape[1]} columns: log-likelihood {found.value:.3f} nats per row,"
        f" 95 % interval [{found.low:.3f}, {found.high:.3f}], {found.method}."
    ).replace("-", "−")
    foot = f"Written by harmonium {__version__}. Log-likelihoods are in nats (1 nat = 1.443 bits)."
    html = page(title or "A model and its table", lead, cards, [s for s in sections if s is not None], foot)
    return Report(html, found, named)


def _tables(model: EnergyModel, X: Any, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(the rows, samples) as data frames with the same columns."""
    import pandas as pd

    drawn = sample(model, SAMPLES, seed=seed)
    if model.schema is not None and is_frame(X):
        table, samples = (x.set_axis([str(c) for c in x.columns], axis=1) for x in (as_pandas(X), drawn))
        return table[[c for c in table.columns if c in samples]], samples
    rows = rows_of(model, X, free=True)
    form = Form.of(model, X, rows)
    frame = form.frame_of_cells(codes_of(model, rows.states()).cpu().numpy()).rename(columns=str)
    codes = codes_of(model, rows_of(model, drawn).states()).cpu().numpy()
    return frame, pd.DataFrame(codes, columns=frame.columns)


def columns_section(table: pd.DataFrame, drawn: pd.DataFrame) -> Section:
    """Each column of a table, (rows, columns), beside samples that have the same ones."""
    shown = [c for c in table.columns if table[c].nunique() > 1][:PANELS] or list(table.columns)[:1]
    figure = columns(table[shown], drawn[shown], table.shape[1] - len(shown))
    text = f"Each column in the data and in {len(drawn):,} samples: bars for values, areas for numbers."
    return Section("Columns", text, [(figure, "distribution of each column in data and samples")])


def pairs_section(table: pd.DataFrame, drawn: pd.DataFrame) -> tuple[pd.DataFrame, Section | None]:
    """(the pairs that samples get most wrong, what to show of all pairs); of many rows an even choice."""
    import pandas as pd

    table = table.iloc[:: -(-len(table) // COUNTED)]
    names = [c for c in table.columns if table[c].nunique() > 1][:PAIRED]
    if len(names) < 2:
        return pd.DataFrame(columns=["first", "second", "data", "model"]), None
    data = mutual_information(table[names], table[names])
    model = mutual_information(drawn[names], table[names])
    # two tables of one law differ by about this much: that of independent columns with six values each
    error = 25.0 / (2.0 * min(len(table), len(drawn)))
    upper = np.triu_indices(len(names), 1)
    order = np.argsort(-np.abs(data - model)[upper], kind="stable")[:WORST]
    rows = [
        {"first": names[i], "second": names[j], "data": data[i, j], "model": model[i, j]}
        for i, j in ((upper[0][k], upper[1][k]) for k in order)
    ]
    said = [(f"{r['first']}, {r['second']}", f"data {r['data']:.3f}, model {r['model']:.3f}") for r in rows]
    text = (
        "How much each pair of columns says about one another, in the data and in samples; below, the pairs"
        " that the model gets most wrong. The band is what chance alone makes of it, about."
    )
    figure = pairs(data, model, [str(n) for n in names], error)
    alt = "mutual information of each pair of columns in data and samples"
    return pd.DataFrame(rows), Section("Pairs of columns", text, [(figure, alt)], said)


def _surprising(model: EnergyModel, X: Any, each: RowEstimates, seed: int) -> Section:
    looked = min(ROWS, -(-LOOKED // len(model.visible_space.variables())), len(each.value))
    found = surprise_of(model, _first(X, looked), each.head(looked), seed=seed)
    text = (
        f"The most surprising cells of {looked:,} rows, each given the rest of its row: the values that stand"
        " in the table, the darker the further −log P(cell | rest) is above what the model expects."
    )
    rows = [
        (
            f"row {r['row']}, {r['column']}",
            f"{r['value']}, expected {r['expected']}: {r['surprise']:.1f} nats",
        )
        for r in found.top(WORST).to_dict("records")
    ]
    figure = surprising_cells(found, CELLS)
    return Section("Surprising cells", text, [(figure, "the most surprising cells of the table")], rows)


def _first(X: Any, n: int) -> Any:
    if is_frame(X):
        return as_pandas(X).iloc[:n]
    return X[:n]


def _learning(history: History | None) -> Section | None:
    if history is None:
        return None
    text = "Mean log-likelihood while learning, with its 95 % interval."
    figure = learning_curve(history.records, None, history.best_step)
    alt = "log-likelihood of training and validation rows while learning"
    return Section("Learning", text, [(figure, alt)], warnings=list(history.warnings))


def _table(model: EnergyModel, table: pd.DataFrame) -> Section:
    empty = table.isna().mean()
    rows = []
    for name in table.columns:
        if model.schema is not None and name in model.schema:
            told = model.schema[name].describe()
        else:
            told = str(table[name].dtype)
        rows.append((str(name), told + (f", {empty[name]:.1%} empty" if empty[name] else "")))
    return Section("What the columns are", rows=rows)
