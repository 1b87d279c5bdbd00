"""One way to write down what a run must remember: tensors by name, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def gathered(parts: Mapping[str, Any]) -> dict[str, Tensor]:
    """The states of all parts that have one, as "part/name".

    >>> from harmonium.learning import PersistentChains, WeightDecay
    >>> gathered({"chains": PersistentChains(8), "penalty": WeightDecay(0.5), "other": print})
    {'penalty/strength': tensor(0.5000, dtype=torch.float64)}
    """
    return {
        f"{part}/{name}": value
        for part, owner in parts.items()
        if hasattr(owner, "state_dict")
        for name, value in owner.state_dict().items()
    }


def scattered(parts: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Give each part that has a state its own out of `gathered`."""
    for part, owner in parts.items():
        if hasattr(owner, "load_state_dict"):
            owner.load_state_dict(part_of(state, part))


def part_of(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """What `state` holds under "part/", by the names that follow."""
    return {name.removeprefix(f"{part}/"): x for name, x in state.items() if name.startswith(f"{part}/")}
