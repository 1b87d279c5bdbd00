"""Log-likelihoods of data: of every row, of sets of rows, and the baseline to compare them with."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from harmonium import processes
from harmonium.likelihood import inputs
from harmonium.likelihood.estimate import Estimate
from harmonium.likelihood.exact import exact_log_partition
from harmonium.likelihood.partition import KNOWN, WORK, annealed_log_partition
from harmonium.likelihood.tempered import Budget, Progress
from harmonium.models import EnergyModel, PairwiseModel
from harmonium.models.energy import energy_model
from harmonium.models.intake import rows_of, states_of
from harmonium.models.words import encoded, in_words, log_jacobian
from harmonium.random import Address, Purpose
from harmonium.sampling.free import filled
from harmonium.units import Units
from harmonium.units.known import known_energies, match_known

ROWS = 2**13  # rows per block of work
DRAWS, FEW, REACH = (
    256,
    10,
    2.0,
)  # draws for each row, of which fewer are too few; standard errors to either side


@dataclass(frozen=True)
class RowEstimates:
    """Estimates of one number for each row of data, nats.

    Attributes:
        value: (rows,), float64.
        stderr: their standard errors, (rows,).
        low, high: 95 % intervals, (rows,).
        shared: whether the error is one and the same for all rows, as that of log Z is: then it doesn't
            average out.
        method: how they were found.
        warnings: what a careful reader should know.
    """

    value: Tensor
    stderr: Tensor
    low: Tensor
    high: Tensor
    shared: bool
    method: str
    warnings: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def head(self, n: int) -> RowEstimates:
        """Those of the first n rows."""
        return replace(self, **{name: getattr(self, name)[:n] for name in ("value", "stderr", "low", "high")})

    def plus(self, known: Tensor | None) -> RowEstimates:
        """The same with a known number added for each row, (rows,); None adds nothing."""
        if known is None:
            return self
        shifted = {name: getattr(self, name) + known.to(self.value) for name in ("value", "low", "high")}
        return replace(self, **shifted)

    def mean(self) -> Estimate:
        """The mean over the rows; `details["data_stderr"]` says how much it would change with other rows."""
        n = len(self.value)
        impossible = torch.nonzero(self.value == -math.inf).flatten().tolist()
        if impossible:  # the mean is -inf whatever the others are
            warning = (
                f"{len(impossible)} of {n} rows have probability zero, the first of them row {impossible[0]}"
            )
            details = {**self.details, "data_stderr": math.inf if n > len(impossible) else 0.0, "rows": n}
            return Estimate(
                -math.inf,
                0.0,
                -math.inf,
                -math.inf,
                self.method,
                math.inf,
                (*self.warnings, warning),
                details,
            )
        # errors of one cause add up, those of many partly cancel
        share = 1.0 if self.shared else n**-0.5
        value, stderr = float(self.value.mean()), share * float((self.stderr**2).mean().sqrt())
        down, up = (share * float((self.value - x).abs().mean()) for x in (self.low, self.high))
        data_stderr = float(self.value.std()) / n**0.5 if n > 1 else math.nan
        details = {**self.details, "data_stderr": data_stderr, "rows": n}
        ess = math.inf if stderr == 0 else self.details.get("ess", math.nan)
        return Estimate(value, stderr, value - down, value + up, self.method, ess, self.warnings, details)


def log_likelihood(
    model: EnergyModel,
    X: Any,
    *,
    seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    log_partition: Estimate | None = None,
) -> Estimate:
    """Mean log P(v) = -F(v) - log Z over the rows of X, nats per row, with a 95 % interval.

    The interval is that of log Z: it says how well the mean over these very rows is known. How much it would
    change with other rows from the same source is kept apart, as `details["data_stderr"]`.

    Args:
        model: the model.
        X: visible states, (rows, n_visible): array, tensor or DataFrame, whose columns go by name where the
            model knows names; for one-hot sites integers, one for each site, will do. Of a table in the words
            of the model's schema it is log P of its values: a density per unit of the real columns, so that
            models with other maps of them can be compared.
        seconds: as in `log_partition`, as are `seed` and `progress`.
        seed: same seed, same estimate.
        progress: called with the share of the work done and what is being done.
        log_partition: an Estimate of log Z made before, which saves making one.

    Returns:
        An Estimate whose `details` are those of log Z, and "log_partition" (nats), "data_stderr", "rows".

    Raises:
        ValueError: X has the wrong shape, free cells or values outside the support, or Z may be infinite.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> round(hm.log_likelihood(rbm, torch.zeros(1, 3)).value, 1)
    -2.1
    """
    return log_probabilities(
        model, X, seconds=seconds, seed=seed, progress=progress, log_partition=log_partition
    ).mean()


def log_probabilities(
    model: EnergyModel,
    X: Any,
    *,
    seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    log_partition: Estimate | None = None,
) -> RowEstimates:
    """Log P(v) = -F(v) - log Z of every row of X, nats; the arguments are those of `log_likelihood`.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> log_probabilities(rbm, torch.eye(3)).value.shape
    torch.Size([3])
    """  # noqa: D417  # the arguments are described there
    X = in_codes(model, X)
    rows = rows_of(energy_model("model", model), X, free=True)
    if model.objective is not None and model.context is not None:
        if log_partition is not None:
            raise ValueError("log_partition: a conditional model has another one for each context.")
        v = rows.states()
        held = model.objective.held(v.shape[1]).to(v.device)
        found = _given(model, v, held, Budget(WORK, seconds, progress), seed)
        return found.plus(log_jacobian(model, X, held=held))
    if log_partition is not None:
        inputs.estimate("log_partition", log_partition)
    if model.has_free_energy() and not rows.free:
        budget = Budget(WORK, seconds, progress)
        log_z = log_partition or _log_partition(model, rows.states(KNOWN), budget, seed)
        unnormalised = torch.cat([-free_energies(model, piece) for piece in rows.pieces()])
        return _rows(unnormalised, log_z).plus(log_jacobian(model, X))
    v = rows.states()
    halves = [Budget(WORK / 2, None if seconds is None else seconds / 2, progress) for _ in range(2)]
    clamped = hidden_sums(model, v, halves[0], seed)
    v = filled(model, v, Address(seed, Purpose.CLAMP)) if rows.free else v
    found = _less(clamped, log_partition or _log_partition(model, v, halves[1], seed))
    return found.plus(log_jacobian(model, X))


def _given(model: EnergyModel, v: Tensor, held: Tensor, budget: Budget, seed: int) -> RowEstimates:
    """log P(what is known of the others | the held columns) of every row."""
    from harmonium.likelihood.clamped import clamped_log_partitions

    gaps = bool(torch.isnan(v).any())
    log_z = clamped_log_partitions(model, v, held, budget, seed)
    if not gaps:
        value = -free_energies(model, v)
        return replace(log_z, value=value - log_z.value, low=value - log_z.high, high=value - log_z.low)
    known = hidden_sums(model, v, budget, seed)
    return replace(
        log_z,
        value=known.value - log_z.value,
        stderr=(known.stderr**2 + log_z.stderr**2).sqrt(),
        low=known.low - log_z.high,
        high=known.high - log_z.low,
        method=f"log Z: {log_z.method}; known cells: {known.method}",
        warnings=(*log_z.warnings, *known.warnings),
    )


def hidden_sums(model: EnergyModel, v: Tensor, budget: Budget, seed: int) -> RowEstimates:
    """log Σ exp(-E) over hidden units and free cells of every row, estimated where it has no closed form,
    nats: -F(v) of whole rows.
    """
    from harmonium.likelihood.clamped import clamped_log_partitions

    found = _weighed(model, v, seed)
    return clamped_log_partitions(model, v, ~torch.isnan(v), budget, seed) if found is None else found


@torch.no_grad()
def _weighed(model: EnergyModel, v: Tensor, seed: int) -> RowEstimates | None:
    """The same by importance sampling, for models that draw hidden variables in a way of their own.

    The logarithm of a mean of weights is low on average, and so is a bound where the weights scatter much;
    the mean of their logarithms, `details["bound"]`, is one for any number of draws.
    """
    drawn = []
    for k in range(DRAWS):
        weights = model.importance_weights(v, Address(seed, Purpose.ANNEALING, step=k * 2**10))
        if weights is None:
            return None
        if bool(torch.isnan(weights).any()):
            raise ValueError(f"X must have no empty cells for a {type(model).__name__}, got some.")
        drawn.append(weights)
    log_w = torch.stack(drawn)
    value = torch.logsumexp(log_w, 0) - math.log(DRAWS)
    share = torch.softmax(log_w, 0)
    ess = 1.0 / share.square().sum(0)
    stderr = ((share - 1.0 / DRAWS).square().sum(0)).sqrt()
    few = float((ess < FEW).double().mean())
    warnings = [
        f"of {few:.0%} of the rows less than {FEW} draws count: for these the value is a lower bound"
    ] * (few > 0)
    return RowEstimates(
        value=value,
        stderr=stderr,
        low=value - REACH * stderr,
        high=value + REACH * stderr,
        shared=False,
        method=f"importance sampling upwards, {DRAWS} draws",
        warnings=tuple(warnings),
        details={"bound": float(log_w.mean()), "draws": DRAWS, "row_ess": float(ess.mean())},
    )


def _less(rows: RowEstimates, log_z: Estimate) -> RowEstimates:
    """Estimates of -F(v) minus an estimate of log Z; the sum of both intervals holds whatever their
    shares.
    """
    details = {k: x - log_z.value if k == "bound" else x for k, x in rows.details.items()}
    return replace(
        rows,
        value=rows.value - log_z.value,
        stderr=(rows.stderr**2 + log_z.stderr**2).sqrt(),
        low=rows.low - log_z.high,
        high=rows.high - log_z.low,
        shared=True,
        method=f"log Z: {log_z.method}; F(v): {rows.method}",
        warnings=(*log_z.warnings, *rows.warnings),
        details={**details, **log_z.details, "log_partition": log_z.value, "ess": log_z.ess},
    )


def _rows(unnormalised: Tensor, log_z: Estimate) -> RowEstimates:
    value = unnormalised - log_z.value
    details = {**log_z.details, "log_partition": log_z.value, "ess": log_z.ess}
    return RowEstimates(
        value=value,
        stderr=torch.full_like(value, log_z.stderr),
        low=unnormalised - log_z.high,
        high=unnormalised - log_z.low,
        shared=True,
        method=log_z.method,
        warnings=log_z.warnings,
        details=details,
    )


def _log_partition(model: EnergyModel, v: Tensor, budget: Budget, seed: int) -> Estimate:
    """Log Z, where chains may also begin at the rows of `v`."""
    whose = inputs.normalizable("model", model).normaliser
    exact = exact_log_partition(whose, budget.seconds)
    rows = v if whose is model else None
    return annealed_log_partition(whose, budget, seed, rows) if exact is None else exact


def in_codes(model: EnergyModel, X: Any, name: str = "X") -> Any:
    """A table in words as codes of the model's schema, which are then taken as often as needed."""
    energy_model("model", model)
    words = model.schema is not None and in_words(model.schema, X)
    return encoded(model.schema, X, name) if words and model.schema is not None else X


def visible_states(model: EnergyModel, X: Any, name: str = "X") -> Tensor:
    """X as visible states of the model in its dtype and on its device, checked against shape and support."""
    return states_of(energy_model("model", model), X, name)


def states_with_gaps(model: EnergyModel, X: Any, name: str = "X") -> Tensor:
    """The same where cells may be free, NaN."""
    return rows_of(energy_model("model", model), X, name, free=True).states()


@torch.no_grad()
def free_energies(model: EnergyModel, v: Tensor) -> Tensor:
    """F(v) of every row, (rows,), float64, nats; the rows are divided among the processes."""
    own = processes.mine(v)
    if len(own):
        found = torch.cat([model.free_energy(part).double() for part in own.split(ROWS)])
    else:
        found = torch.zeros(0, dtype=torch.float64, device=v.device)
    return processes.gather(found)


def independent_log_likelihood(units: Units, X_train: Any, X_test: Any) -> float:
    """Mean log P of the rows of X_test under independent units fitted to X_train, nats per row.

    The baseline that a model must beat. `units` says of which type the columns are and isn't changed.

    >>> import harmonium as hm
    >>> X = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    >>> round(independent_log_likelihood(hm.Bernoulli(2), X, X), 3)
    -0.875
    """
    fitted = copy.deepcopy(units).double()
    model = PairwiseModel(fitted)
    train = states_with_gaps(model, X_train, "X_train")
    test = states_with_gaps(model, X_test, "X_test")
    match_known(fitted, train)
    with torch.no_grad():
        if bool(torch.isnan(test).any()):
            return float(known_energies(fitted, test).mean().neg())
        log_z = fitted.cumulant(fitted.bias[None]).sum()
        return float((-fitted.energy(test)).mean() - log_z)
