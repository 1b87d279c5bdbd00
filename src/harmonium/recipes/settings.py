"""Choices that nobody should have to make: the settings of a run, from the shapes of model and data."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from harmonium import checks, kernels, random
from harmonium.learning import (
    Centring,
    GradientDescent,
    NaturalGradient,
    NegativePhase,
    SharedNaturalGradient,
)
from harmonium.learning.loop import Optimiser, Transform
from harmonium.models import EnergyModel, Objective, PairwiseModel
from harmonium.models.intake import Rows
from harmonium.recipes.run.likelihoods import exactly_summable
from harmonium.recipes.split import HOLD_OUT_FROM, most_rows
from harmonium.units import Tail

CHAINS, SWEEPS, BATCH = 512, 2, 256
NATURAL_WIDTH = 2048  # wider layers make the matrices of the natural gradient cost more than they save
LEARNING_RATES = {"natural": 0.4, "centred": 2.0, "adam": 2e-3}  # at most
SAMPLE = 1000  # rows that show a shape: a covariance, clouds


@dataclass(frozen=True)
class UserSettings:
    """The numbers that the user of `hm.fit` gave, None where the choice is left to the recipe."""

    seed: int = 0
    steps: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    chains: int | None = None
    gibbs_steps: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None

    def updates(self, model: EnergyModel, n_rows: int) -> int:
        """How many updates to make at most; without end where minutes say when to stop."""
        if self.steps is not None:
            return checks.positive_integer("steps", self.steps)
        return default_steps(model, n_rows) if self.minutes is None else 2**40

    def after(self, seconds: float) -> UserSettings:
        """What is left to ask for when some of the time is spent."""
        return self if self.minutes is None else replace(self, minutes=self.minutes - seconds / 60.0)


@dataclass(frozen=True)
class Settings:
    """The settings of one run of `hm.fit`, as `history.settings` shows them."""

    seed: int
    steps: int
    minutes: float | None
    batch_size: int
    chains: int
    gibbs_steps: int
    learning_rate: float
    weight_decay: float
    records: int
    optimiser: str


def natural_gradient_fits(model: EnergyModel) -> bool:
    """Whether the model has the two coupled blocks of `learning.NaturalGradient`, and not too wide ones."""
    pair = model.pair()
    return pair is not None and pair.operator.natural and max(pair.operator.shape) <= NATURAL_WIDTH


def shared_gradient_fits(model: EnergyModel) -> bool:
    """Whether the model has the two blocks of `learning.SharedNaturalGradient`, and not too many numbers."""
    machine, pair = model.as_pairwise(), model.pair()
    if machine is None or pair is None or not pair.operator.by_row:
        return False
    return max(parameter_blocks(machine)) <= NATURAL_WIDTH


def parameter_blocks(model: PairwiseModel) -> tuple[int, int]:
    """(visible biases, numbers of the coupling and hidden biases), what is shared counted once."""
    visible, hidden = (layer.bias.detach()[None] for layer in model.layers)
    numbers = sum(t.numel() for t in model.couplings()[0].operator.tensors())
    return visible.numel(), numbers + model.bias_sums(1, hidden).numel()


def default_optimiser(model: EnergyModel) -> str:
    """The method by name: natural for two blocks whose couplings allow it, centred for other pairwise models,
    else adam.
    """
    if natural_gradient_fits(model) or shared_gradient_fits(model):
        return "natural"
    machine = model.as_pairwise()
    leaves = machine is not None and all(
        tensor.is_leaf for c in machine.couplings() for tensor in c.operator.tensors()
    )
    return "centred" if leaves else "adam"


def default_learning_rate(
    model: EnergyModel, method: str, rows: Rows, batch: int, chains: int, summed: bool = False
) -> float:
    """The step size of a method; `summed` where columns are learned given others, by exact sums.

    A natural-gradient step of size η moves the distribution by η²/2 · parameters · (1/batch + 1/chains) nats
    (Kullback-Leibler) even where there is nothing to learn, and the chains must be able to follow: by 2 nats
    at most. So the size falls with the square root of the number of parameters. Where couplings are shared
    the natural gradient is a shorter one, and the size up to 1. See `centred_rate` for the centred gradient.
    Where columns are learned given others by sums no chains follow, and the size is 1 for any number: of
    8,000 digits of 784 pixels 100 hidden units tell 8.9 % of unseen ones wrongly so after 300 updates, and
    13.9 % with a step that falls (docs/machines.md).
    """
    size = LEARNING_RATES.get(method, 0.01)
    kick = (1.0 / batch + 1.0 / chains) / (2.0 * 2.0)
    machine = model.as_pairwise()
    if method == "centred" and machine is not None:
        return centred_rate(machine, rows, kick)
    if method == "natural":
        number = sum(p.numel() for p in model.parameters())
        if machine is not None and shared_gradient_fits(model):
            size, number = 1.0, sum(parameter_blocks(machine))
        elif summed:
            return 1.0
        size = min(size, float((number * kick) ** -0.5))
    return size


@torch.no_grad()
def centred_rate(model: PairwiseModel, rows: Rows, kick: float) -> float:
    """The step size of the centred gradient, in which the scale of the rows has its part.

    In centred coordinates the Fisher information F of a coupling is about the covariance of the one block
    times that of the other, and the units of a fresh hidden block are independent. So the step is 1 / (λ σ²),
    with the largest eigenvalue λ of the covariance of the rows and the largest variance σ² of a hidden unit:
    as long as goes without overshooting (LeCun, Simard & Pearlmutter 1993), and 1 / σ² at most, for the
    biases. Its noise moves the distribution by η² tr F² (1/batch + 1/chains) / 2 nats; wide layers take
    shorter steps, so that these are no more than 2.

    Args:
        model: blocks with pairwise couplings.
        rows: what it learns from.
        kick: (1/batch + 1/chains) / 4, so that these are 2 nats.
    """
    x = rows.states(SAMPLE).double()
    x = (x - x.nanmean(0)).nan_to_num()
    variances = [layer.variance(layer.bias[None])[0].double() for layer in model.layers]
    largest = [float(variance.max()) for variance in variances]
    columns = [layer.width for layer in model.layers[: model.n_visible_blocks]]
    for i, part in enumerate(x.split(columns, dim=1)):
        variances[i] = part.square().mean(0)
        gram = part @ part.T if len(part) < part.shape[1] else part.T @ part  # the smaller one
        with kernels.on_one_thread():  # the same on any number of threads
            largest[i] = float(torch.linalg.eigvalsh(gram)[-1]) / len(part)
    curved = [float(variance.max()) for variance in variances]
    curved += [largest[i] * largest[j] for _, i, j in model.couplings()]
    squares = [float(variance.square().sum()) for variance in variances]
    noise = kick * (sum(squares) + sum(squares[i] * squares[j] for _, i, j in model.couplings()))
    return min(1.0 / max(max(curved), 1e-12), max(noise, 1e-12) ** -0.5, LEARNING_RATES["centred"])


def default_steps(model: EnergyModel, n_rows: int) -> int:
    """Updates when neither steps nor minutes are given; a run that turns early ends before.

    Few rows of unbounded units, over whose couplings there is no prior, are soon learned by heart: 400 rows
    of 11 columns (Credit of R's ISLR, a third of the cells empty) are filled to an energy score of 0.712
    after 1,000 updates and 0.752 after 3,000. Where log Z is exact, the validation rows see to it.
    """
    wide = sum(layer.width for layer in model.named_blocks) > 1000
    if n_rows < 5000:
        bounded = all(layer.tail is Tail.BOUNDED for layer in model.named_blocks[:1])
        given = model.context is not None or model.objective is not None
        return 3_000 if bounded or given or exactly_summable(model) else min(3_000, max(400, 3 * n_rows))
    return 10_000 if wide else 20_000


def default_weight_decay(
    model: EnergyModel, rows: Rows, objective: Objective | None = None, summed: bool = False
) -> float:
    """λ of a Gaussian prior of variance ½ on the couplings, where the rows are a sample of bounded units.

    Rows that all repeat each other show the distribution as it is: where fewer than one new row in twenty
    would be another one, the prior fades. Columns that are learned given others don't crowd together: λ is a
    hundredth then, and a tenth where they are `summed` exactly and no noise of chains keeps couplings from
    overfitting.
    """
    if objective is not None:
        return (0.2 if summed else 0.02) / len(rows)
    bounded = [layer.tail is Tail.BOUNDED for layer in model.named_blocks[:1]]
    if not any(bounded) or len(rows) < HOLD_OUT_FROM:
        return 0.0
    return 2.0 / len(rows) * min(1.0, good_turing_unseen(rows) / 0.05)


def good_turing_unseen(rows: Rows) -> float:
    """The probability that a new row is none of these: the share of those seen once (Good 1953).

    Of more rows than a start is made from it isn't counted but taken as 1: a prior hardly matters there.
    """
    if len(rows) > most_rows(rows):
        return 1.0
    found = Counter(
        hashlib.blake2b(row.tobytes(), digest_size=16).digest()
        for piece in rows.pieces()
        for row in piece.cpu().numpy()
    )
    return sum(count == 1 for count in found.values()) / len(rows)


def affordable(states: int | None, chains: int) -> bool:
    """Whether a sum over so many states costs no more than chains that mix badly, with 16 sweeps an update.

    A state takes three products with the couplings: its free energy, the means of the other side, the
    statistics. A chain takes two for each sweep, and two for the statistics.
    """
    return states is not None and 3 * states <= min(chains, CHAINS) * (2 * 16 + 2)


def resolve(
    model: EnergyModel,
    rows: Rows,
    asked: UserSettings,
    optimiser: Any,
    negatives: NegativePhase,
    objective: Objective | None = None,
) -> Settings:
    """All settings: what was asked for, once it is checked, and a default for the rest."""
    name, n_rows = optimiser_name(model, optimiser), len(rows)
    batch = min(n_rows, number_asked("batch_size", asked.batch_size, BATCH))
    # a row costs what a state costs
    whole = negatives.exact and asked.batch_size is None and affordable(n_rows, CHAINS)
    chains = chains_asked(asked)
    rate, summed = asked.learning_rate, negatives.summed
    if rate is None:
        rate = default_learning_rate(model, name, rows, batch, negatives.n or chains, summed)
        if name == "adam" and whole:
            rate *= 10.0  # there is no noise
    decay = asked.weight_decay
    if decay is None:
        decay = default_weight_decay(model, rows, objective, summed)
    return Settings(
        seed=asked.seed,
        steps=asked.updates(model, n_rows),
        minutes=None if asked.minutes is None else checks.positive("minutes", asked.minutes),
        batch_size=n_rows if whole else batch,
        chains=chains,
        gibbs_steps=number_asked("gibbs_steps", asked.gibbs_steps, SWEEPS),
        learning_rate=checks.positive("learning_rate", rate),
        weight_decay=checks.number("weight_decay", decay, 0.0),
        records=40 if asked.steps is None else min(40, max(4, asked.steps // 50)),
        optimiser=name,
    )


def chains_asked(asked: UserSettings) -> int:
    """How many, as far as there are numbers for them."""
    return checks.integer("chains", number_asked("chains", asked.chains, CHAINS), 1, random.CHAINS)


def number_asked(name: str, given: int | None, default: int) -> int:
    """The number given, once it is checked, or the default."""
    return default if given is None else checks.positive_integer(name, given)


def optimiser_name(model: EnergyModel, given: Any) -> str:
    """The optimiser by its name; "given" for an object."""
    if given is None:
        return default_optimiser(model)
    if not isinstance(given, str):
        return "given"
    return checks.one_of("optimiser", given, LEARNING_RATES)


def optimiser_for(model: EnergyModel, settings: Settings, given: Any) -> Optimiser:
    """Who makes the steps."""
    if settings.optimiser == "given":
        return given
    if settings.optimiser == "adam":
        return torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    return GradientDescent(model.parameters(), settings.learning_rate)


def preconditioner(model: EnergyModel, settings: Settings) -> list[Transform]:
    """What the method makes of the gradient."""
    made: dict[str, Callable[[], Transform]] = {"natural": NaturalGradient, "centred": Centring}
    pair = model.pair()
    if settings.optimiser == "natural" and pair is not None and pair.operator.by_row:
        return [SharedNaturalGradient(seed=settings.seed)]
    return [made[settings.optimiser]()] if settings.optimiser in made else []
