"""What a model says of the cells of a table: the values they may have, and how surprising those are that they
have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.answers.form import Form, codes_of
from harmonium.columns import Count, Kind, Number, Schema, Whole
from harmonium.columns.frames import listed
from harmonium.likelihood import RowEstimates, log_probabilities
from harmonium.likelihood.cells import DRAWS, Cell, cells, rows_together
from harmonium.models import EnergyModel
from harmonium.models.energy import energy_model
from harmonium.models.intake import Rows, rows_of
from harmonium.models.support import Site, Support, given_always, sites_of
from harmonium.random import derived_seed

if TYPE_CHECKING:
    import pandas as pd


def conditional(
    model: EnergyModel, X: Any, columns: Any, *, draws: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """What the values of a column may be, given the rest of each row.

        P(x | rest) = exp(-F(x, rest)) / Σₓ exp(-F(x, rest))

    Exact for one column where the rest of the row is known and the model has its free energy; otherwise an
    average over draws of what isn't known.

    Args:
        model: the model.
        X: rows, as `hm.log_likelihood` takes them; cells may be empty. What they hold in `columns` counts for
            nothing.
        columns: a name or a number of a column, or several, none of which is then known to the others.
        draws: of what isn't known.
        seed: of these.

    Returns:
        A row for each row. The columns are the values of the column, in its own words, with their
        probabilities; for counts without end and real numbers mean, standard deviation ("std") and the
        quantiles "5%", "50%", "95%". For several columns there are two levels, the first their names.

    Raises:
        TypeError, ValueError: as `hm.log_likelihood` about the rows; a column is unknown.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> list(conditional(rbm, [[0.0, 1.0, 1.0]], 2).columns)
    [0, 1]
    """
    import pandas as pd

    rows = rows_of(energy_model("model", model), X, free=True)
    form = Form.of(model, X, rows)
    single = not isinstance(columns, (list, tuple))
    if not single and not columns:
        raise ValueError("columns: expected one or more, got none.")
    asked = {label: _site(model, form.schema, label) for label in ([columns] if single else columns)}
    kinds, numbers = _kinds(form.schema, len(sites_of(model))), [site.number for site in asked.values()]
    frames: dict[Any, list[pd.DataFrame]] = {label: [] for label in asked}
    needed = _needed(model, rows.free or len(asked) > 1, draws)
    for _, states, own in _parts(model, rows, needed, seed):
        whole = states.clone()
        for site in asked.values():  # for one column any value will do, since the ratio of two is the same
            valid = Support(model.observed_space).valid[:, site.columns].to(whole)
            whole[:, site.columns] = valid if len(asked) == 1 else torch.nan
        for label, cell in zip(asked, cells(model, whole, numbers, draws=draws, seed=own), strict=True):
            frames[label].append(_distribution(cell, kinds[cell.site], asked[label]))
    found = {label: pd.concat(parts).set_axis(form.index, axis=0) for label, parts in frames.items()}
    return next(iter(found.values())) if single else pd.concat(found, axis=1)


def _parts(model: EnergyModel, rows: Rows, draws: int, seed: int) -> Iterator[tuple[slice, Tensor, int]]:
    """(which rows, their states, the seed of their draws): `draws` for all rows at once would be many times
    the table.
    """
    size = rows_together(model, draws)
    for k, start in enumerate(range(0, len(rows), size)):
        part = slice(start, min(start + size, len(rows)))
        own = rows.part(np.arange(part.start, part.stop))
        yield part, own.states(), derived_seed(seed, k) if k else seed


def _needed(model: EnergyModel, free: bool, draws: int) -> int:
    """How many draws each row takes: one of whole rows where hidden variables are summed out, the row."""
    return checks.positive_integer("draws", draws) if free or not model.has_free_energy() else 1


@dataclass(frozen=True, eq=False)
class Surprise:
    """How surprising the rows of a table are, and each of their cells; nats. Shown by
    `plots.surprising_cells`.

    Attributes:
        rows: "log_p" = log P of what is known of each row, with its interval "low", "high"; for columns of
            real numbers a density in their own units.
        cells: -log P(cell | rest of its row), one column for each of the table's that isn't left out; NaN
            where a cell is empty.
        excess: the same minus what the model expects of this cell, so that columns of all kinds compare.
        values: the table.
        expected: the most probable value of each cell given the rest of its row.
    """

    rows: pd.DataFrame
    cells: pd.DataFrame
    excess: pd.DataFrame
    values: pd.DataFrame
    expected: pd.DataFrame

    def top(self, n: int = 10) -> pd.DataFrame:
        """The `n` most surprising cells by their excess: "row", "column", "value", "expected", "surprise",
        "excess".
        """
        import pandas as pd

        n = checks.positive_integer("n", n)
        order = np.argsort(-self.excess.to_numpy(), axis=None, kind="stable")
        places = [
            divmod(int(k), self.excess.shape[1]) for k in order[: min(n, int(self.excess.count().sum()))]
        ]
        return pd.DataFrame(
            {
                "row": [self.cells.index[i] for i, _ in places],
                "column": [self.cells.columns[j] for _, j in places],
                "value": [self.values.iloc[i, j] for i, j in places],
                "expected": [self.expected.iloc[i, j] for i, j in places],
                "surprise": [self.cells.iloc[i, j] for i, j in places],
                "excess": [self.excess.iloc[i, j] for i, j in places],
            }
        )

    def _repr_html_(self) -> str:
        return self.top()._repr_html_()


def surprise(model: EnergyModel, X: Any, *, draws: int = DRAWS, seed: int = 0) -> Surprise:
    """How surprising each row is, -log P(row), and each cell, -log P(cell | rest of its row).

    A row can be improbable as a whole because every cell is a little unusual, or because one is wrong: the
    cells tell which.

    Args:
        model: the model.
        X: rows, as `hm.log_likelihood` takes them; cells may be empty.
        draws: of what isn't known of a row, where something isn't.
        seed: of these, and of log Z.

    Raises:
        TypeError, ValueError: as `hm.log_likelihood`.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> surprise(rbm, [[0.0, 1.0, 1.0]]).cells.shape
    (1, 3)
    """
    return surprise_of(model, X, log_probabilities(model, X, seed=seed), draws=draws, seed=seed)


def surprise_of(
    model: EnergyModel, X: Any, found: RowEstimates, *, draws: int = DRAWS, seed: int = 0
) -> Surprise:
    """The same where log P of the rows is known already."""
    import pandas as pd

    rows = rows_of(energy_model("model", model), X, free=True)
    form, shape = Form.of(model, X, rows), (len(rows), len(sites_of(model)))
    codes, bits, excess = (torch.full(shape, torch.nan, dtype=torch.float64) for _ in range(3))
    best, kinds = codes.clone(), _kinds(form.schema, shape[1])
    for part, states, own in _parts(model, rows, _needed(model, rows.free, draws), seed):
        codes[part] = best[part] = codes_of(model, states).cpu()
        for cell in cells(model, states, draws=draws, seed=own):
            kind, p, known = kinds[cell.site], cell.probabilities, cell.known.cpu()
            bits[part, cell.site] = -known - _log_slope(kind, codes[part, cell.site])
            entropy = -(p * torch.where(p > 0, cell.log_p, 0.0)).sum(1)
            excess[part, cell.site] = -known - entropy.cpu()
            mode = cell.values[cell.log_p.argmax(1)].cpu()
            best[part, cell.site] = mode[:, 0] if mode.shape[1] == 1 else mode.argmax(1).double()
    each, over = (form.frame_of_cells(x.numpy()) for x in (bits, excess))
    values, expected = (_in_words(form, x) for x in (codes, best))
    always = torch.tensor([float(given_always(model, site)) for site in sites_of(model)])
    context = form.frame_of_cells(always.expand(codes.shape).numpy())
    # all but those left out, and those of a context
    learned = [label for label in each.columns if str(label) in values and not context[label].eq(1.0).any()]
    each, over = each[learned], over[learned]
    values, expected = (x[[str(c) for c in learned]].set_axis(learned, axis=1) for x in (values, expected))
    log_p = {"log_p": found.value, "low": found.low, "high": found.high}
    frame = pd.DataFrame({name: x.cpu().numpy() for name, x in log_p.items()}, index=each.index)
    return Surprise(frame, each, over, values, expected)


def _site(model: EnergyModel, schema: Schema | None, label: Any) -> Site:
    site = _known_site(model, schema, label)
    if given_always(model, site):
        raise ValueError(f"columns: expected columns that are modelled, got {label!r}, which is context.")
    return site


def _known_site(model: EnergyModel, schema: Schema | None, label: Any) -> Site:
    sites = sites_of(model)
    names = model.columns if schema is None else schema.columns
    if names is not None and str(label) in names:
        return sites[names.index(str(label))]
    if names is None and isinstance(label, (int, np.integer)) and 0 <= label < len(sites):
        return sites[int(label)]
    known = listed(names) if names is not None else f"0 to {len(sites) - 1}"
    constant = schema is not None and str(label) in schema
    told = f"{label!r}, which is constant" if constant else repr(label)
    raise ValueError(
        f"columns: expected names or numbers of columns that the model knows ({known}), got {told}."
    )


def _kinds(schema: Schema | None, n: int) -> Sequence[Kind | None]:
    """What each column that has a unit is; of `n` columns nothing is known without a schema."""
    return [None] * n if schema is None else [schema[name] for name in schema.columns]


def _log_slope(kind: Kind | None, codes: Tensor) -> Tensor | float:
    """What a log density of codes gains to be one of the column's own units."""
    return 0.0 if kind is None else torch.from_numpy(kind.log_jacobian(codes.cpu().numpy())).to(codes)


def _in_words(form: Form, codes: Tensor) -> pd.DataFrame:
    if form.schema is None:
        return form.frame_of_cells(codes.cpu().numpy()).rename(columns=str)
    frame = form.schema.decode(codes)
    return frame.set_axis([str(c) for c in frame.columns], axis=1)


def _distribution(cell: Cell, kind: Kind | None, site: Site) -> pd.DataFrame:
    """The distribution of one column in its own words."""
    import pandas as pd

    p = cell.probabilities.cpu().numpy()
    if site.part is None or site.part.cardinality is not None:
        codes = np.arange(len(cell.values)) if site.width > 1 else cell.values[:, 0].cpu().numpy()
        labels = codes.astype(int).tolist() if kind is None else list(kind.decode(codes.astype(float)))
        labels = list(map(int, labels)) if isinstance(kind, (Count, Whole)) else labels
        return pd.DataFrame(p, columns=pd.Index(labels, dtype=object))
    x = cell.values[:, 0].cpu().numpy()
    words = x if kind is None else kind.exact(x) if isinstance(kind, Number) else kind.decode(x)
    mean = p @ words
    spread = np.sqrt(np.maximum((p * (words[None] - mean[:, None]) ** 2).sum(1), 0.0))
    quantiles = {}
    for q in (0.05, 0.5, 0.95):
        at = cell.quantile(q).cpu().numpy()
        quantiles[f"{q:.0%}"] = (
            at if kind is None else kind.exact(at) if isinstance(kind, Number) else kind.decode(at)
        )
    return pd.DataFrame({"mean": mean, "std": spread, **quantiles})
