"""The false-alarm budget of the test suite.

A statistical test fails now and then though the code is right. The whole suite may do so with probability
BUDGET at most, over the choice of its seeds; every statistical test gets PER_TEST of it, so that there is
room for BUDGET / PER_TEST = 1000 of them. A test that makes n comparisons divides its share by n
(Bonferroni; the comparisons need not be independent).

A tolerance then comes from the distribution of what is compared, never from trying seeds:

    z = z_threshold(comparisons=means.size)
    assert (abs(means - exact) <= z * standard_errors).all()
"""

from statistics import NormalDist

BUDGET = 1e-3
PER_TEST = 1e-6


def z_threshold(comparisons: int = 1, probability: float = PER_TEST) -> float:
    """Standard errors that |estimate - truth| may reach: two-sided, for all the comparisons of one test.

    Exact for normal estimates, so for means of many draws. Where the draws are few or their distribution is
    skewed, use its own quantile at `tail_probability(comparisons)`.

    >>> round(z_threshold(), 2), round(z_threshold(1000), 2)
    (4.89, 6.11)
    """
    return -NormalDist().inv_cdf(tail_probability(comparisons, probability) / 2)


def tail_probability(comparisons: int = 1, probability: float = PER_TEST) -> float:
    """The share of one comparison, such as the p-value below which a chi-square test fails.

    >>> tail_probability(10)
    1e-07
    """
    if comparisons < 1 or not 0 < probability <= PER_TEST:
        raise ValueError(
            f"a test makes at least 1 comparison within {PER_TEST}, got {comparisons} and {probability}"
        )
    return probability / comparisons
