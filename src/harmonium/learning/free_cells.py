"""Free cells of the rows of data: hidden units of their rows, as the positive phase sees them.

With o what a row tells and m what it leaves open, P(o) = Σ_m P(o, m), so that

    -∂log P(o)/∂θ = ⟨∂F(o, m)/∂θ⟩ over P(m | o)  -  ⟨∂F/∂θ⟩ over P.

So each free cell has a state that goes on from update to update, as persistent chains do in the negative
phase, and moves by Gibbs sweeps given its row whenever that is in a batch (Younes 1989). The mean of the
gradient is that of log P(o) as far as the chains follow the model. Nothing is dropped, and nothing filled
with constants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from harmonium import processes
from harmonium.models import EnergyModel
from harmonium.random import Address, Purpose
from harmonium.sampling import Chains
from harmonium.sampling.free import begun, moved, redraws_hidden

STRIDE = 2**10  # times between two updates: room for their sweeps
INFO = "info."
NEW = 3  # sweeps more where cells are new; they go on from visit to visit


class FreeCells:
    """The states of all free cells, addressed by row.

    A sweep of two blocks draws all hidden units anew. Models of any other kind move one unit after another,
    so that what is hidden in an incomplete row is remembered from visit to visit as well.

    Args:
        rows: the states of all rows of data, some at a time, NaN where free.
        like: whose states are kept: a model, for its dtype and device.
        sweeps: made each time that a row is in a batch.
        seed: of the draws; those of a row live at its number.
    """

    def __init__(self, rows: Iterable[Tensor], like: EnergyModel, sweeps: int = 2, seed: int = 0) -> None:
        counts, where = [], hashlib.blake2b(digest_size=7)
        for piece in rows:
            free = torch.isnan(piece).cpu()
            counts.append(free.sum(1))
            where.update(free.numpy().tobytes())
        self.sweeps, self.seed = sweeps, seed
        self.counts = torch.cat(counts)
        self.ends = self.counts.cumsum(0)
        self.place = (self.counts > 0).cumsum(0) - 1  # of a row among those with gaps
        self.where = int.from_bytes(where.digest(), "little")
        self.values = torch.empty(int(self.ends[-1]), dtype=like.dtype, device=like.device)
        self.forget()

    def forget(self) -> None:
        """Let every cell begin anew."""
        self.values.fill_(torch.nan)
        self.hidden: tuple[Tensor, ...] = ()
        self.info: dict[str, float] = {}

    @torch.no_grad()
    def fill(self, model: EnergyModel, v: Tensor, rows: np.ndarray, step: int) -> Tensor:
        """The rows whole: free cells in their states after some more sweeps.

        Args:
            model: as it is at this update.
            v: visible states, (batch, n_visible), NaN where free.
            rows: their numbers, (batch,).
            step: number of the update.
        """
        numbers = torch.from_numpy(rows)
        some = (self.counts[numbers] > 0).nonzero().flatten()
        if len(some) == 0:
            return v
        numbers, everywhere = numbers[some], len(some) == len(v)
        known = v if everywhere else v[some.to(v.device)]
        at, row = self._cells(numbers).to(v.device), self.place[numbers].to(v.device)
        free, cells = torch.isnan(known), self.values[at].to(v)
        x, new = known.masked_scatter(free, cells), bool(torch.isnan(cells).any())
        address = Address(self.seed, Purpose.FREE_CELLS, step=step * STRIDE, chain=numbers.numpy())
        chains = Chains(self._state(model, x, row, address, new), address.at(step=address.step + 2))
        chains = moved(model, chains, free, self.sweeps + NEW * new, self.info)
        self.values[at] = chains.visible.masked_select(free).to(self.values)
        self.info = dict(chains.info)
        for kept, block in zip(self.hidden, chains.state[1:], strict=False):
            kept[row] = block
        whole = chains.visible.to(v)
        return whole if everywhere else v.index_copy(0, some.to(v.device), whole)

    def _cells(self, numbers: Tensor) -> Tensor:
        """Where the free cells of these rows are kept, row by row, (cells,)."""
        counts = self.counts[numbers]
        shift = self.ends[numbers] - counts.cumsum(0)
        return torch.arange(int(counts.sum())) + shift.repeat_interleave(counts)

    def _state(
        self, model: EnergyModel, x: Tensor, row: Tensor, address: Address, new: bool
    ) -> tuple[Tensor, ...]:
        """The state of these rows, of which some begin here where there are new ones."""
        if redraws_hidden(model):
            return model.state_of(begun(model, x, None, address)[0] if new else x)
        if not self.hidden:
            widths = [h.shape[1] for h in model.random_state(1, address.at(chain=0))[1:]]
            rows = int(self.place[-1]) + 1
            self.hidden = tuple(self.values.new_full((rows, width), torch.nan) for width in widths)
        hidden = tuple(h[row] for h in self.hidden)
        return begun(model, x, hidden, address) if new else (x, *hidden)

    def state_dict(self) -> dict[str, Tensor]:
        """The states, what their kernel has adapted, and a number that says which cells these are."""
        own = processes.share(len(self.counts))
        before = self.counts[: own.start], self.counts[: own.stop]
        cells, rows = (slice(*(int(f(n)) for n in before)) for f in (torch.sum, torch.count_nonzero))
        state = {f"hidden.{i}": processes.gather(h[rows]) for i, h in enumerate(self.hidden)}
        state |= {INFO + name: torch.tensor(x, dtype=torch.float64) for name, x in self.info.items()}
        return state | {"values": processes.gather(self.values[cells]), "where": torch.tensor(self.where)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict`; cells of other rows begin anew."""
        self.forget()
        if "where" not in state or int(state["where"]) != self.where:
            return
        self.values = state["values"].to(self.values).clone()
        hidden = sum(name.startswith("hidden.") for name in state)
        self.hidden = tuple(state[f"hidden.{i}"].clone() for i in range(hidden))
        self.info = {name.removeprefix(INFO): float(x) for name, x in state.items() if name.startswith(INFO)}
