"""What kind a column is, from its values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harmonium.columns.base import LEAVE_OUT, Kind, Refused
from harmonium.columns.discrete import Binary, Category, Constant
from harmonium.columns.facts import DIGITS, MOST, Facts
from harmonium.columns.maps import FOLDS, Map, gained
from harmonium.columns.numeric import Count, Number, Whole

FEW = 20  # different whole numbers that may be categories
FEW_REAL = 10  # different real numbers that may be, each of which comes
REPEATED = 10  # times on average
SELDOM = 2  # times on average that whole numbers come which may be categories
FEW_CELLS = 10  # up to which another kind than the simplest must gain a nat a cell
BOUNDED = 1000  # whole numbers that may be successes out of so many


def kind_of(facts: Facts, without: Sequence[type[Kind]] = ()) -> Kind:
    """The kind of a column, complete; of whole numbers none of those `without`, which scatter too much.

    Two values are Binary, text and what a categorical column declares is Category. Of whole numbers that kind
    is chosen which gives held-out cells the highest probability by itself: the simplest of Count (Poisson),
    Whole (Binomial), Category (up to 20 values that come twice on average) and Number (the normal
    distribution summed over x ± 1/2, after the map that suits it), unless one is better by two standard
    errors, no cell counting for more than ten nats. So counts that scatter more
    than Poisson's, such as visits to a doctor, become categories where they are few and a Number after a
    power map or a logarithm where they are many. Real numbers are a Number, but for ten values or fewer that
    come again and again: they are categories.

    Raises:
        Refused: every cell is empty, or holds another text, or there are too many different ones.
    """
    if facts.family == "empty":
        raise Refused("is empty in every row", remedy=LEAVE_OUT)
    if facts.distinct == 1 and not facts.declared:
        return Constant().fitted(facts)
    if facts.declared and facts.values is not None and len(facts.values) == 1:
        return Constant(facts.values[0])
    _refuse_too_many(facts)
    if facts.distinct == 2:
        return Binary().fitted(facts)
    if facts.family != "number":
        return Category().fitted(facts)
    if facts.whole:
        return _whole(facts, without)
    repeated = facts.distinct <= FEW_REAL and facts.rows >= REPEATED * facts.distinct
    return (Category(amounts=True) if repeated else Number()).fitted(facts)


def _refuse_too_many(facts: Facts) -> None:
    if facts.family == "number" or facts.distinct <= 2:
        return
    if facts.declared and facts.distinct > max(facts.rows, 2):
        raise Refused(
            f"has {facts.distinct:,} categories for {facts.rows:,} rows that hold one",
            remedy="take away those that don't come with .cat.remove_unused_categories(), or " + LEAVE_OUT,
        )
    codes = all(isinstance(value, str) and DIGITS.fullmatch(value) for value in facts.values or (None,))
    remedy = "write them without leading zeros if they are numbers, or " * codes + LEAVE_OUT
    if not facts.declared and facts.distinct == facts.rows:
        raise Refused(
            f"holds another text in each of {facts.rows:,} rows, which names the rows and can't be learned",
            remedy=remedy,
        )
    if facts.distinct > MOST or (
        not facts.declared and facts.distinct > facts.rows // 2 and facts.rows > FEW
    ):
        raise Refused(
            f"holds {facts.distinct:,} different texts in {facts.rows:,} rows, too many for categories",
            remedy=f"join some of them, {'' if codes else 'or '}{remedy}",
        )


def _whole(facts: Facts, without: Sequence[type[Kind]]) -> Kind:
    """The simplest kind of whole numbers that no other beats for sure on held-out cells."""
    candidates: list[Kind] = []
    number = Number(decimals=0)
    if facts.low >= 0:
        candidates.append(Count())
    for low in dict.fromkeys((min(0, int(facts.low)), int(facts.low))):
        if facts.high - low <= BOUNDED:
            candidates.append(Whole(low, int(facts.high)))
    seldom = facts.rows < SELDOM * facts.distinct  # each value: they aren't categories
    if facts.distinct <= FEW and facts.values is not None and not seldom:
        candidates.append(Category(facts.values, amounts=True))
    candidates = [kind for kind in candidates if type(kind) not in without]
    if facts.distinct > FEW_REAL or seldom or not candidates:
        candidates.append(number.fitted(facts))
    scores = [_held_out(kind, facts.numbers) for kind in candidates]
    best, least = 0, float(facts.rows <= FEW_CELLS)
    for k in range(1, len(candidates)):
        gain, doubt = gained(scores[k], scores[best])
        if gain > max(least, doubt):
            best = k
    return candidates[best]


def _held_out(kind: Kind, x: np.ndarray) -> np.ndarray:
    """log-probability of each number under the kind fitted to the other folds, (n,), nats."""
    fold, found = np.arange(len(x)) % FOLDS, np.empty(len(x))
    for k in range(FOLDS):
        found[fold == k] = _log_p(kind, x[fold != k], x[fold == k])
    return found


def _log_p(kind: Kind, known: np.ndarray, x: np.ndarray) -> np.ndarray:
    from scipy import special

    if isinstance(kind, Count):
        rate = (known.sum() + 0.5) / (len(known) + 1.0)
        return x * math.log(rate) - rate - special.gammaln(x + 1.0)
    if isinstance(kind, Whole):
        assert kind.low is not None and kind.high is not None
        trials = kind.high - kind.low
        share = ((known - kind.low).sum() + 0.5) / (len(known) * trials + 1.0)
        k = x - kind.low
        ways = special.gammaln(trials + 1.0) - special.gammaln(k + 1.0) - special.gammaln(trials - k + 1.0)
        return ways + k * math.log(share) + (trials - k) * math.log1p(-share)
    if isinstance(kind, Category):
        assert kind.values is not None
        values = np.asarray(kind.values, dtype=float)
        counts = (known[:, None] == values).sum(0) + 1.0 / len(values)
        return np.log(counts / counts.sum())[(x[:, None] == values).argmax(1)]
    assert isinstance(kind, Number)
    t = kind.t()
    image = t.forward(known)
    scale = float(image.std()) or 1.0
    edges = [special.log_ndtr((_edge(t, x + half) - image.mean()) / scale) for half in (-0.5, 0.5)]
    with np.errstate(divide="ignore"):
        mass = edges[1] + np.log1p(-np.exp(np.minimum(edges[0] - edges[1], 0.0)))
    return np.maximum(mass, -50.0)  # far out the difference of two ones is lost


def _edge(t: Map, x: np.ndarray) -> np.ndarray:
    """t(x), and infinity beyond where t is defined."""
    inside = np.asarray(t.inside(x))
    safe = np.where(inside, x, t.low + 1e-9 if t.high is None else 0.5 * (t.low + t.high))
    return np.where(inside, t.forward(safe), np.where(x <= t.low, -math.inf, math.inf))
