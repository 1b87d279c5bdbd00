"""What `hm.fit` takes beside rows and settings: functions, rules, places, states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harmonium import checks, store

OPTIMISER = ("zero_grad", "step", "param_groups", "state_dict")
STATE = "state must be the history.state of an earlier call of hm.fit"


def check(given: Mapping[str, Any]) -> None:
    """Refuse arguments of another kind, before any work is done.

    Args:
        given: the arguments of `hm.fit` by their names.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    for name in ("transforms", "callbacks"):
        for k, each in enumerate(checks.a_list(name, given[name], "functions")):
            checks.function(f"{name}[{k}]", each)
    if given["rules"] is not None:
        checks.a_list("rules", given["rules"], "rules")
    optimiser, state = given["optimiser"], given["state"]
    if not isinstance(optimiser, (str, type(None))) and not all(hasattr(optimiser, n) for n in OPTIMISER):
        raise TypeError(
            f"optimiser must be a name or a torch.optim optimiser, got {checks.describe(optimiser)}."
        )
    if not isinstance(state, (Mapping, type(None))):
        raise TypeError(f"{STATE}, got {checks.describe(state)}.")
    for name in ("progress", "resume"):
        if given[name] is not None:
            checks.boolean(name, given[name])


def place(checkpoint: Any) -> Path:
    """Where a checkpoint is, or will be."""
    try:
        path = store.place(checkpoint)
    except (TypeError, ValueError) as error:
        raise type(error)(f"checkpoint: {error}") from None
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} can't be written: there is no folder {path.parent}.")
    return path
