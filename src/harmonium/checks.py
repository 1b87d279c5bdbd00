"""The sentences for wrong input, written once: which argument, what was expected, what came.

Every function raises TypeError where the kind of the value is wrong and ValueError where only the value is,
and returns the value in the plain type that the caller goes on with.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NO_ROOM = ("memory", "overflow", "Overflow")  # what PyTorch says of tensors that are too large
Option = TypeVar("Option")


def describe(value: Any) -> str:
    """A few words for what came: an array by its type and shape, anything else by its (shortened) repr.

    >>> describe("cat"), describe([1.5] * 100)
    ("'cat'", '[1.5, 1.5, 1.5, 1.5, 1.5, 1.5,...')
    """
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "dtype"):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{type(value).__name__} of shape {tuple(shape)} and type {dtype}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:30] + "..."


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """An integer with low <= value, and value <= high where high is given; True and False are none.

    >>> integer("states", 3, low=2)
    3
    >>> integer("states", 1, low=2)
    Traceback (most recent call last):
    ...
    ValueError: states must be an integer of at least 2, got 1.
    """
    expected = f"{name} must be an integer " + (
        f"of at least {low}" if high is None else f"from {low} to {high}"
    )
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{expected}, got {describe(value)}.") from None
    if isinstance(value, bool):
        raise TypeError(f"{expected}, got {value}.")
    if number < low or (high is not None and number > high):
        raise ValueError(f"{expected}, got {number}.")
    return number


def positive_integer(name: str, value: Any) -> int:
    """An integer of at least 1."""
    return integer(name, value, low=1)


def seed(name: str, value: Any) -> int:
    """A seed of the addressed generator: an integer from 0 to 2**64 - 1."""
    return integer(name, value, low=0, high=2**64 - 1)


def number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, strict: bool = False
) -> float:
    """A finite number with low <= value <= high, or low < value < high where strict.

    >>> number("learning_rate", 0.1, low=0, strict=True)
    0.1
    >>> number("beta", float("nan"), low=0, high=1)
    Traceback (most recent call last):
    ...
    ValueError: beta must be a number from 0 to 1, got nan.
    """
    expected = f"{name} must be {_interval(low, high, strict)}"
    if isinstance(value, (bool, str, bytes)):
        raise TypeError(f"{expected}, got {describe(value)}.")
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{expected}, got {describe(value)}.") from None
    inside = low < result < high if strict else low <= result <= high
    if not (inside and math.isfinite(result)):
        raise ValueError(f"{expected}, got {result:g}.")
    return result


def _interval(low: float, high: float, strict: bool) -> str:
    if low == -math.inf and high == math.inf:
        return "a finite number"
    if high == math.inf:
        return f"a finite number {'above' if strict else 'of at least'} {low:g}"
    return (
        f"a number strictly between {low:g} and {high:g}" if strict else f"a number from {low:g} to {high:g}"
    )


def boolean(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as one of them.

    >>> boolean("uncertainty", "no")
    Traceback (most recent call last):
    ...
    TypeError: uncertainty must be True or False, got 'no'.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {describe(value)}.")
    return value


def positive(name: str, value: Any) -> float:
    """A finite number above 0."""
    return number(name, value, low=0, strict=True)


def fraction(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    return number(name, value, low=0, high=1)


def one_of(name: str, value: Option, options: Iterable[Option]) -> Option:
    """One of the options, which the sentence lists.

    >>> one_of("method", "exakt", ["exact", "ais"])
    Traceback (most recent call last):
    ...
    ValueError: method must be 'exact' or 'ais', got 'exakt'.
    """
    options = list(options)
    if value not in options:
        *most, last = (repr(option) for option in options)
        listed = f"{', '.join(most)} or {last}" if most else last
        raise ValueError(f"{name} must be {listed}, got {describe(value)}.")
    return value


def matrix(name: str, x: Any, width: int | None = None) -> Tensor:
    """A tensor of shape (rows, width), width at least 1; rows may be none. Says nothing about its values."""
    import torch

    expected = f"{name} must be a tensor of shape (rows, {'columns' if width is None else width})"
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{expected}, got {describe(x)}.")
    if x.ndim != 2 or x.shape[1] == 0 or (width is not None and x.shape[1] != width):
        raise ValueError(f"{expected}, got one of shape {tuple(x.shape)}.")
    return x


@contextmanager
def room(name: str, numbers: int) -> Iterator[None]:
    """Within this block memory is taken for so many numbers; too many are a sentence.

    >>> with room("n", 2**60):
    ...     bytes(2**60)
    Traceback (most recent call last):
    ...
    ValueError: n: 1,152,921,504,606,846,976 numbers take more memory than there is.
    """
    try:
        yield
    except (MemoryError, OverflowError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(word in str(error) for word in NO_ROOM):
            raise
        raise ValueError(f"{name}: {numbers:,} numbers take more memory than there is.") from error


def device(name: str, value: Any) -> torch.device:
    """A device of PyTorch's that can be used here.

    >>> device("device", "moon")
    Traceback (most recent call last):
    ...
    ValueError: device must be one that can be used here, such as 'cpu', got 'moon'.
    """
    import torch

    try:
        return torch.empty(0, device=value).device
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        said = str(value) if isinstance(value, torch.device) else describe(value)
        raise ValueError(f"{name} must be one that can be used here, such as 'cpu', got {said}.") from error


def a_list(name: str, value: Any, of: str) -> list[Any]:
    """The things in a list or anything else that can be gone through, but a text.

    >>> a_list("trajectory", 3, "models")
    Traceback (most recent call last):
    ...
    TypeError: trajectory must be a list of models, got 3.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list of {of}, got {describe(value)}.")
    return list(value)


def function(name: str, value: Any) -> Any:
    """Something that can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {describe(value)}.")
    return value


def real(name: str, x: Tensor) -> Tensor:
    """A tensor that isn't of complex numbers, whose imaginary parts would be dropped."""
    if x.is_complex():
        raise TypeError(f"{name} must hold real numbers, got complex numbers.")
    return x


def finite(name: str, x: Tensor) -> Tensor:
    """A tensor without NaN and infinities; the sentence counts them and says where the first is."""
    good = x.isfinite()
    if not good.all():
        bad = (~good).nonzero()
        place = tuple(bad[0].tolist())
        raise ValueError(
            f"{name} must be finite, got {len(bad)} NaN or infinite of {x.numel()} values, the first"
            f" ({x[place].item()}) at {place}."
        )
    return x
