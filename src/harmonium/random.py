"""Addressed randomness: where a draw lives, instead of when it was made.

A draw is a pure function of (seed, purpose, step, chain, unit) through Philox4x32-10, a counter-based
generator that passes BigCrush (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011). Nothing is consumed, so the same address gives the same draw on any number of threads or processes,
after a resume, and on every device. The map from addresses to counters is published in ``docs/kernels.md``.
"""

from __future__ import annotations

import hashlib
import operator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

SEEDS = 2**64
PURPOSES = 2**15
STEPS = 2**48
CHAINS = 2**32
UNITS = 2**34


class Purpose(IntEnum):
    """What a draw is for; streams of different purposes never meet.

    The numbers are part of every seeded result: new purposes are added at the end, and none is ever
    renumbered or used again for something else.
    """

    WEIGHTS = 1  # initial parameters
    ORDER = 2  # order in which rows of the data are visited
    SPLIT = 3  # which rows train, validate and test
    DATA = 4  # binarising or corrupting data
    START = 5  # first states of chains
    POSITIVE = 6  # hidden states given data, in the positive phase
    CHAIN = 7  # negative particles: the Markov chains of learning
    CLAMP = 8  # chains with some units clamped
    SAMPLE = 9  # chains and draws that are handed to the user
    ANNEALING = 10  # annealed importance sampling
    BRIDGE = 11  # bridge sampling and other comparisons of two models
    SWAP = 12  # exchanges between temperatures
    # 13 was given to a purpose that nothing was ever drawn for
    PROPOSAL = 14  # Metropolis proposals
    ACCEPT = 15  # Metropolis acceptances
    DIAGNOSE = 16  # chains run only to measure mixing
    TRIAL = 17  # tests and examples
    SITES = 18  # which variables of a row are looked at
    FREE_CELLS = 19  # free cells of a row given the others, in the positive phase
    FISHER = 20  # hidden states whose spread is the Fisher information


def derived_seed(seed: int, *numbers: int) -> int:
    """Another seed, whose streams have nothing to do with those of `seed`: for a run within a run.

    >>> derived_seed(0, 5) == derived_seed(0, 5), derived_seed(0, 5) == derived_seed(0, 6)
    (True, False)
    """
    text = " ".join(map(str, (seed, *numbers)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True, eq=False)
class Address:
    """Where a block of draws lives: its row r, column j is the draw (seed, purpose, step, chain r, unit + j).

    Addresses are compared by identity (``chain`` may be an array).

    Args:
        seed: the user's seed, 0 <= seed < 2**64.
        purpose: what the draws are for, a ``Purpose`` or another number, 0 <= purpose < 2**15.
        step: time of the chain, update of the learner ..., 0 <= step < 2**48.
        chain: number of the first row's chain (the rows are chain, chain + 1, ...), or an explicit
            one-dimensional array with one chain number for each row; 0 <= chain < 2**32.
        unit: number of the first column's unit, a multiple of 4 (one Philox block serves 4 units), < 2**34.

    Raises:
        TypeError: a number is not an integer.
        ValueError: a number is outside its range, or the array of chains is not one-dimensional.

    Example:
        >>> here = Address(seed=7, purpose=Purpose.CHAIN, chain=10)
        >>> here.at(step=3).chains(4).tolist()
        [10, 11, 12, 13]
        >>> here.at(chain=np.array([5, 2])).chains(2).tolist()
        [5, 2]
    """

    seed: int
    purpose: int
    step: int = 0
    chain: int | np.ndarray = 0
    unit: int = 0

    def __post_init__(self) -> None:
        _set(self, "seed", _whole("seed", self.seed, SEEDS))
        _set(self, "purpose", _whole("purpose", self.purpose, PURPOSES))
        self._place(self.step, self.chain, self.unit)

    def _place(self, step: int | None, chain: int | np.ndarray | None, unit: int | None) -> None:
        if step is not None:
            _set(self, "step", _whole("step", step, STEPS))
        if chain is not None:
            scalar = type(chain) is int or np.ndim(chain) == 0
            _set(self, "chain", _whole("chain", chain, CHAINS) if scalar else _chain_array(chain))
        if unit is not None:
            unit = _whole("unit", unit, UNITS)
            if unit % 4:
                raise ValueError(f"unit must be a multiple of 4 (a Philox block serves 4 units), got {unit}.")
            _set(self, "unit", unit)

    def at(
        self,
        *,
        step: int | None = None,
        chain: int | np.ndarray | None = None,
        unit: int | None = None,
    ) -> Address:
        """The same address moved to another step, chain or unit; what is not given stays."""
        moved = object.__new__(Address)
        for name in ("seed", "purpose", "step", "chain", "unit"):
            _set(moved, name, getattr(self, name))
        moved._place(step, chain, unit)
        return moved

    def chains(self, rows: int) -> np.ndarray:
        """Chain numbers of the rows of a block, uint32 of shape (rows,).

        Raises:
            ValueError: the explicit array has another length, or the last row's number reaches 2**32.
        """
        self.check(rows, 0)
        if isinstance(self.chain, int):
            return np.arange(self.chain, self.chain + rows, dtype=np.uint32)
        return self.chain

    def check(self, rows: int, units: int, steps: int = 1) -> None:
        """Raises ValueError unless a block of (rows, units) draws fits at this address, for so many steps."""
        if isinstance(self.chain, int):
            if self.chain + rows > CHAINS:
                raise ValueError(f"chain + rows must be at most 2**32, got {self.chain} + {rows}.")
        elif len(self.chain) != rows:
            raise ValueError(
                f"chain must have one number for each of {rows} rows, got {len(self.chain)} numbers."
            )
        if self.unit + units > UNITS:
            raise ValueError(f"unit + units must be at most 2**34, got {self.unit} + {units}.")
        if self.step + steps > STEPS:  # the next would be a step of another purpose
            raise ValueError(f"step + steps must be at most 2**48, got {self.step} + {steps}.")

    @property
    def key(self) -> tuple[int, int]:
        """The Philox key: low and high 32 bits of the seed."""
        return self.seed & 0xFFFFFFFF, self.seed >> 32

    @property
    def high_words(self) -> tuple[int, int]:
        """Counter words c2 and c3 (with low = 0): low half of step; purpose and the high half of step."""
        return self.step & 0xFFFFFFFF, self.purpose << 16 | self.step >> 32


_set = object.__setattr__  # the dataclass is frozen; validated values are stored past it


def _whole(name: str, value: object, end: int) -> int:
    if type(value) is not int:
        try:
            if isinstance(value, (bool, np.bool_)):
                raise TypeError
            value = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(f"{name} must be an integer, got {value!r}.") from None
    if not 0 <= value < end:
        raise ValueError(f"{name} must be at least 0 and below 2**{end.bit_length() - 1}, got {value}.")
    return value


def _chain_array(chain: object) -> np.ndarray:
    array = np.asarray(chain)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"chain must be an integer or an array of integers, got an array of {array.dtype}.")
    if array.ndim != 1:
        raise ValueError(f"chain must be a number or a one-dimensional array, got shape {array.shape}.")
    if array.size and not (array.min() >= 0 and array.max() < CHAINS):
        raise ValueError(f"chain must be at least 0 and below 2**32, got {array.min()} to {array.max()}.")
    array = array.astype(np.uint32)
    array.flags.writeable = False
    return array
