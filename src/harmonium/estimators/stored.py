"""What all estimators share: pickles that hold safetensors, and threads that don't change with the jobs."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch

from harmonium.models import EnergyModel
from harmonium.store import from_bytes, to_bytes


class Stored:
    """Mixin: models go into pickles as the bytes of their safetensors file."""

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()  # that of BaseEstimator, a dictionary
        models = {name: to_bytes(x) for name, x in state.items() if isinstance(x, EnergyModel)}
        return {**state, **models, "_models": sorted(models)} if models else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        for name in state.pop("_models", ()):
            state[name] = from_bytes(state[name])
        super().__setstate__(state)  # type: ignore[misc]


class Threads:
    """The number of threads inside of a `with` block, whatever jobs there are around it.

    Sums are rounded in the order in which threads share them: with a number of their own, results of
    `n_jobs=1` and `n_jobs=8` of a search are the same bits.

    Args:
        n_jobs: threads; None for 1, -1 for all.
    """

    def __init__(self, n_jobs: int | None) -> None:
        from joblib import cpu_count

        n = 1 if n_jobs is None else int(n_jobs)
        if n == 0:
            raise ValueError("n_jobs must not be 0.")
        self.n = n if n > 0 else max(1, cpu_count() + 1 + n)

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        torch.set_num_threads(self.before)
