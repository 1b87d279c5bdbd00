"""What the functions of this floor ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harmonium import checks
from harmonium.likelihood.estimate import Estimate
from harmonium.models import EnergyModel
from harmonium.models.energy import energy_model


def normalizable(name: str, model: Any) -> EnergyModel:
    """`model`, if its Z is finite as far as is known."""
    reason = energy_model(name, model).reason_not_normalizable()
    if reason:
        raise ValueError(f"{name}: {reason}")
    return model


def estimate(name: str, value: Any) -> Estimate:
    """`value`, if it is an Estimate."""
    if not isinstance(value, Estimate):
        raise TypeError(
            f"{name} must be an Estimate such as hm.log_partition gives, got {checks.describe(value)}."
        )
    return value


def trajectory(models: Sequence[Any], model: EnergyModel) -> tuple[EnergyModel, ...]:
    """`models`, if they are over the layers of `model`."""
    models = checks.a_list("trajectory", models, "models")
    for i, each in enumerate(models):
        normalizable(f"trajectory[{i}]", each)
        if layers(each) != layers(model):
            raise ValueError(f"trajectory[{i}] must have the layers of the model, got others.")
    return tuple(models)


def layers(model: EnergyModel) -> list[Any]:
    """What two models must have in common for a path to join them."""
    if model.named_blocks:
        return [layer.config() for layer in model.named_blocks]
    return [model.visible_space.width, None if model.hidden_space is None else model.hidden_space.width]
