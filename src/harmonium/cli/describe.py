"""Models and numbers in words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

from torch import Tensor

from harmonium.likelihood import Estimate
from harmonium.models import DeepBeliefNetwork, DeepBoltzmannMachine, EnergyModel
from harmonium.models.rbm import TwoBlocks
from harmonium.units import Units
from harmonium.units.mixed import parts_of


def layer(units: Units) -> str:
    """A layer in a few words.

    >>> from harmonium.units import Bernoulli, Binomial, Mixed
    >>> layer(Mixed(Bernoulli(3), Binomial(2, trials=16)))
    '3 Bernoulli + 2 Binomial of 16 trials'
    """
    parts = parts_of(units)
    if parts != [units]:
        return " + ".join(layer(part) for part in parts)
    config = units.config()
    text = f"{units.n} {config['type']}"
    if "trials" in config:
        text += f" of {config['trials']} trials"
    if "states" in config:
        text += f" of {config['states']} states, one-hot in {units.width} columns"
    return text


def model_title(model: EnergyModel) -> str:
    """A model in a few words.

    >>> import harmonium as hm
    >>> model_title(hm.RBM(visible=hm.Gaussian(4), hidden=hm.Bernoulli(2)))
    'RBM 4 × 2 Gaussian × Bernoulli'
    """
    layers = layers_of(model)
    if not layers:
        return f"{type(model).__name__} of {model.visible_space.width} visible variables"
    names = ["+".join(dict.fromkeys(type(part).__name__ for part in parts_of(u))) for u in layers]
    kinds = names[0] if len(set(names)) == 1 else " × ".join(names)
    return f"{type(model).__name__} {' × '.join(str(u.n) for u in layers)} {kinds}"


@singledispatch
def layers_of(model: EnergyModel) -> Sequence[Units]:
    """The layers of units as people count them: blocks, but for deep machines; none where there are none."""
    return model.named_blocks


@layers_of.register(DeepBoltzmannMachine)
@layers_of.register(DeepBeliefNetwork)
def _(model: DeepBoltzmannMachine | DeepBeliefNetwork) -> Sequence[Units]:
    return model.stack


@singledispatch
def weight_of(model: EnergyModel) -> Tensor | None:
    """The one matrix of couplings of a model of two blocks, None for any other."""
    return None


@weight_of.register(TwoBlocks)
def _(model: TwoBlocks) -> Tensor:
    return model.weight.detach()


def signed(value: float) -> str:
    """A number with two decimals and a real minus sign.

    >>> signed(-15.4321)
    '−15.43'
    """
    return f"{value:.2f}".replace("-", "−")


def interval_of(estimate: Estimate) -> str:
    """The 95 % interval in brackets, with as many decimals as its width asks for, or '(exact)'."""
    if estimate.low == estimate.high:
        return "(exact)"
    decimals = 2 if estimate.high - estimate.low > 0.02 else 4
    low, high = (f"{x:.{decimals}f}".replace("-", "−") for x in (estimate.low, estimate.high))
    return f"[{low}, {high}]"
