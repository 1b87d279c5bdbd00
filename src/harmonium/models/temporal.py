"""An RBM of a frame given those before it: sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.models.conditional import ConditionalRBM
from harmonium.units import Units
from harmonium.units.base import layer_of_units
from harmonium.units.mixed import side_by_side


class TemporalRBM(ConditionalRBM):
    """P(v_t | v_{t-1}, …, v_{t-k}) of the frames v_t of a sequence: a `ConditionalRBM` whose context is the
    last k frames (Taylor, Hinton & Roweis 2007).

    A row is [v_t | v_{t-1} | … | v_{t-k}], and `rows` makes rows of sequences; `hm.fit(model,
    model.rows(sequences))` learns the log-likelihood per frame that `hm.log_likelihood` measures, given the
    first k frames of each sequence. A recurrent machine (Sutskever, Hinton & Taylor 2008) isn't one of these:
    its context would be hidden means that depend on parameters, through which the gradient goes back in time.

    Args:
        visible: the units of a frame.
        lags: frames that a frame depends on, k.
        hidden: the hidden units.
        direct, dtype, device, seed: as of `ConditionalRBM`.

    >>> import harmonium as hm
    >>> model = TemporalRBM(hm.Bernoulli(3), 2, hm.Bernoulli(4))
    >>> model.rows([torch.zeros(5, 3), torch.zeros(4, 3)]).shape
    torch.Size([5, 9])
    >>> hm.continuation(model, torch.zeros(2, 3), frames=6).shape
    torch.Size([1, 6, 3])
    """

    def __init__(  # noqa: PLR0913  # the shape of the machine and where it lives
        self,
        visible: Units,
        lags: int,
        hidden: Units,
        *,
        direct: bool = True,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        self.lags = checks.positive_integer("lags", lags)
        visible = layer_of_units("visible", visible)
        with checks.room("lags", self.lags * visible.width):
            past = side_by_side(*[visible] * self.lags)
        super().__init__(visible, past, hidden, direct=direct, dtype=dtype, device=device, seed=seed)
        self._frame = visible.config()

    @property
    def width(self) -> int:
        """Columns of a frame."""
        assert self.context is not None
        return self.context.start

    def rows(self, sequences: Any) -> Tensor:
        """All frames that have k frames before them, each beside these, (frames, width · (k + 1)).

        Args:
            sequences: one of shape (length, columns), or a list of them, of any lengths; frames may have
                gaps, NaN, where they are modelled, but not where they are the past of a later one.

        Raises:
            ValueError: other columns, or no sequence longer than k.
        """
        found = []
        for x in self._sequences(sequences):
            shifted = [x[self.lags - lag : len(x) - lag] for lag in range(self.lags + 1)]
            found.append(torch.cat(shifted, 1))
        rows = torch.cat(found)
        if len(rows) == 0:
            raise ValueError(f"sequences must have one of more than {self.lags} frames, got none.")
        return rows

    def _sequences(self, given: Any) -> list[Tensor]:
        alone = hasattr(given, "shape") and len(given.shape) == 2
        found = [torch.as_tensor(np.asarray(x), dtype=self.dtype) for x in ([given] if alone else given)]
        for i, x in enumerate(found):
            if x.ndim != 2 or x.shape[1] != self.width:
                raise ValueError(
                    f"sequences: expected shape (length, {self.width}), got {tuple(x.shape)} in number {i}."
                )
        if not found:
            raise ValueError("sequences must hold at least one sequence, got none.")
        return found

    def config(self) -> dict[str, Any]:
        """The types and sizes of a frame and of the hidden layer, and how many frames the past has."""
        return {
            "type": type(self).__name__,
            "visible": self._frame,
            "lags": self.lags,
            "hidden": self.hidden.config(),
            "direct": self.direct is not None,
        }
