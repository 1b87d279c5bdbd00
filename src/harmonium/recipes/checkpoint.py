"""A run on disk: everything that the next update depends on, so that a resumed run equals one never
stopped.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from harmonium import store
from harmonium.learning import PersistentChains, Stateful, TemperedChains
from harmonium.learning.loop import Optimiser
from harmonium.recipes.mixing import tempered_instead
from harmonium.recipes.record import Recorder


def _prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": value for name, value in state.items()}


def _part(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}/"): t for name, t in tensors.items() if name.startswith(f"{prefix}/")
    }


def write(path: Path, step: int, recorder: Recorder) -> None:
    """Write the run as it is after `step` updates, replacing an older checkpoint in one step."""
    learner, average = recorder.learner, recorder.average
    tensors = _prefixed("model", learner.model.state_dict()) | _prefixed("average", average.state_dict())
    if isinstance(learner.negatives, Stateful):
        tensors |= _prefixed("chains", learner.negatives.state_dict())
    for i, transform in enumerate(learner.transforms):
        if hasattr(transform, "state_dict"):
            tensors |= _prefixed(f"transforms/{i}", transform.state_dict())
    tensors |= _prefixed("recorder", recorder.state_dict())
    for index, entries in learner.optimiser.state_dict()["state"].items():
        tensors |= _prefixed(
            f"optimiser/{index}", {k: v for k, v in entries.items() if isinstance(v, Tensor)}
        )
    history = recorder.history
    facts: dict[str, Any] = {
        "step": step,
        "seconds": recorder.schedule.seconds,
        "plan": asdict(recorder.plan),
        "records": history.records,
        "best_step": history.best_step,
        "warnings": history.warnings,
        "tempered": isinstance(learner.negatives, TemperedChains),
    }
    # copies, since safetensors refuses tensors that share memory
    store.save_tensors(path, {k: t.detach().clone().contiguous() for k, t in tensors.items()}, facts)


def facts_of(path: Path) -> dict[str, Any]:
    """What a checkpoint says about its run, without its tensors."""
    return dict(store.load_tensors(path)[1])


def read(path: Path, recorder: Recorder) -> tuple[int, float]:
    """Put a run back to where `write` saw it; returns (updates made, seconds spent).

    Raises:
        ValueError: the checkpoint is of a run with other settings, naming them.
    """
    tensors, facts = store.load_tensors(path)
    plan, learner, average = recorder.plan, recorder.learner, recorder.average
    saved = facts["plan"]
    different = [k for k, v in asdict(plan).items() if saved.get(k) != v]
    if different:
        told = ", ".join(f"{k} {saved.get(k)} (now {asdict(plan)[k]})" for k in different)
        raise ValueError(f"resume: {path} is of a run with other settings: {told}; ask for the same ones.")
    learner.model.load_state_dict(_part("model", tensors))
    average.load_state_dict(_part("average", tensors))
    if facts["tempered"] and isinstance(learner.negatives, PersistentChains):  # since they stopped mixing
        learner.negatives = tempered_instead(learner.negatives)
    if isinstance(learner.negatives, Stateful):
        learner.negatives.load_state_dict(_part("chains", tensors))
    for i, transform in enumerate(learner.transforms):
        if hasattr(transform, "load_state_dict"):
            transform.load_state_dict(_part(f"transforms/{i}", tensors))
    recorder.load_state_dict(_part("recorder", tensors))
    recorder.history.records[:] = facts["records"]
    recorder.history.best_step = facts["best_step"]
    recorder.history.warnings[:] = facts["warnings"]
    _restore_optimiser(learner.optimiser, _part("optimiser", tensors))
    return int(facts["step"]), float(facts["seconds"])


def _restore_optimiser(optimiser: Optimiser, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split("/", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
