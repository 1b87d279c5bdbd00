"""Reading and writing `.uai` files, the format of the UAI inference competitions.

The text holds, separated by white space: the word MARKOV or BAYES; the number of variables; their numbers of
states; the number of factors; for each its number of variables and these, the last one varying fastest; then
for each factor the number of its potentials and the potentials themselves (not logarithms). An evidence file
holds the number of observed variables, then each with its state. Comments, which the format doesn't know but
tools write, are passed over: from # or // to the end of the line, and between /* and */.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

Number = TypeVar("Number", int, float)
DIGITS = 20  # of a whole number, which longer ones can't be
COMMENT = re.compile(r"#[^\n]*|//[^\n]*|/\*.*?\*/", re.DOTALL)


class _Tokens:
    """The words of a file, taken one after another; errors say in which line."""

    def __init__(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8-sig")  # some editors put a mark of the encoding in front
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: can't be read as text ({error}).") from None
        # blanks take the place of comments, so that lines keep their numbers
        self.text = COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
        self.path = path
        self.words = self.text.split()
        self.next = 0

    def wrong(self, message: str, word: int | None = None) -> ValueError:
        """An error at a word, by default the one taken last."""
        at = max(0, self.next - 1) if word is None else word
        line = self.text.count("\n") + 1
        for k, found in enumerate(re.finditer(r"\S+", self.text)):
            if k == at:
                line = self.text.count("\n", 0, found.start()) + 1
                break
        return ValueError(f"{self.path}, line {line}: {message}.")

    def word(self, what: str) -> str:
        if self.next >= len(self.words):
            self.next += 1
            raise self.wrong(f"the file ends where {what} was expected", len(self.words))
        self.next += 1
        return self.words[self.next - 1]

    def number(self, kind: Callable[[str], Number], what: str, low: float, high: float) -> Number:
        word = self.word(what)
        try:
            value = kind(word)
        except ValueError:
            raise self.wrong(f"expected {what}, got {word!r}") from None
        if not low <= value <= high:
            raise self.wrong(f"expected {what} {_range(low, high)}, got {word}")
        return value

    def numbers(self, count: int, what: str) -> np.ndarray:
        """Potentials: finite and at least 0."""
        words = self.words[self.next : self.next + count]
        try:
            values = np.array(words, dtype=np.float64)
        except ValueError:
            values = np.array([_float(word) for word in words])
        good = np.isfinite(values) & (values >= 0)
        if not good.all():
            k = int(np.argmin(good))
            raise self.wrong(f"expected {what}, finite and at least 0, got {words[k]!r}", self.next + k)
        if len(words) < count:
            self.next = len(self.words)
            raise self.wrong(
                f"the file ends where {what} {len(words) + 1} of {count} was expected", len(self.words)
            )
        self.next += count
        return values

    def finish(self, what: str) -> None:
        if self.next < len(self.words):
            self.next += 1
            raise self.wrong(f"expected the end of the file after {what}, got {self.words[self.next - 1]!r}")


def _float(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _range(low: float, high: float) -> str:
    return f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"


def read(path: str | Path) -> tuple[list[int], list[tuple[tuple[int, ...], np.ndarray]]]:
    """(numbers of states, [(variables, potentials)]) of a `.uai` file; potentials have one axis per variable.

    Raises:
        ValueError: the file is missing, malformed or truncated, or a potential is negative; names the line.
    """
    tokens = _Tokens(Path(path))
    kind = tokens.word("MARKOV or BAYES")
    if kind.upper() not in ("MARKOV", "BAYES"):
        raise tokens.wrong(f"expected MARKOV or BAYES, got {kind!r}")
    n = tokens.number(int, "a number of variables", 0, math.inf)
    states = [tokens.number(int, f"the number of states of variable {k}", 1, math.inf) for k in range(n)]
    scopes = [_scope(tokens, n) for _ in range(tokens.number(int, "a number of factors", 0, math.inf))]
    factors = []
    for k, scope in enumerate(scopes):
        shape = [states[v] for v in scope]
        count = tokens.number(int, f"the number of potentials of factor {k}", 0, math.inf)
        if count != math.prod(shape):
            raise tokens.wrong(
                f"expected {math.prod(shape)} potentials for factor {k} over variables {list(scope)}, "
                f"got {count}"
            )
        factors.append((scope, tokens.numbers(count, "potential").reshape(shape)))
    tokens.finish("the last factor")
    return states, factors


def _scope(tokens: _Tokens, n: int) -> tuple[int, ...]:
    size = tokens.number(int, "the number of variables of a factor", 0, n)
    scope = tuple(tokens.number(int, "a variable", 0, n - 1) for _ in range(size))
    if len(set(scope)) < size:
        raise tokens.wrong(f"expected different variables in a factor, got {list(scope)}")
    return scope


def read_evidence(path: str | Path, states: Sequence[int]) -> dict[int, int]:
    """{variable: state} of an evidence file, with or without the number of samples (1) in front.

    Raises:
        ValueError: the file is missing or malformed, holds several samples, or names a variable or state
            that isn't there.
    """
    tokens = _Tokens(Path(path))
    samples = _samples(tokens.words)
    if samples > 1:
        raise ValueError(
            f"{path}: expected the evidence of one sample, got {samples} of them; give each a file of its "
            "own."
        )
    tokens.next = samples  # the older form says how many
    evidence: dict[int, int] = {}
    for _ in range(tokens.number(int, "the number of observed variables", 0, len(states))):
        variable = tokens.number(int, "a variable", 0, len(states) - 1)
        if variable in evidence:
            raise tokens.wrong(f"variable {variable} is observed twice")
        evidence[variable] = tokens.number(int, f"a state of variable {variable}", 0, states[variable] - 1)
    tokens.finish("the last observation")
    return evidence


def _samples(words: Sequence[str]) -> int:
    """The number of samples that an evidence file of the older form says it holds, 0 for the plain form."""
    if not all(word.isdecimal() and len(word) < DIGITS for word in words) or len(words) < 2:
        return 0
    numbers = [int(word) for word in words]
    at = 1
    for _ in range(numbers[0]):
        if at >= len(numbers):
            return 0
        at += 1 + 2 * numbers[at]
    return numbers[0] if at == len(numbers) != 1 + 2 * numbers[0] else 0


def write(
    path: str | Path, states: Sequence[int], factors: Sequence[tuple[tuple[int, ...], np.ndarray]]
) -> None:
    """Write potentials (not logarithms) as a MARKOV file with 17 digits, which is every digit of a
    float64.
    """
    lines = ["MARKOV", str(len(states)), " ".join(str(q) for q in states), str(len(factors))]
    lines += [" ".join(str(v) for v in (len(scope), *scope)) for scope, _ in factors]
    for _, potentials in factors:
        rows = potentials.reshape(-1, potentials.shape[-1] if potentials.ndim else 1)
        lines += ["", str(potentials.size), *(" " + " ".join(f"{p:.17g}" for p in row) for row in rows)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
