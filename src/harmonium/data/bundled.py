"""Data sets that come with the installation, by name; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harmonium.data.dataset import PARTS, Dataset, split
from harmonium.data.values import describe_support


def digits() -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels, black or white: 0/1 for Bernoulli units.

    The test set of the UCI Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998) as it comes
    with scikit-learn, 17 shades of grey, of which 8 of 16 and above are ink (1). A tenth of the rows is
    valid, a tenth is test. `labels` has the digit that each row shows.
    """
    images, labels = _digits()
    note = "digits: pixels of 8 of 16 shades and above are 1."
    return _parted("digits", (images >= 8).astype(np.uint8), labels, shape=(8, 8), notes=[note])


def digits_grey() -> Dataset:
    """The same digits, split alike, in shades of grey from 0 to 1: probabilities of Bernoulli units."""
    images, labels = _digits()
    return _parted("digits-grey", (images / 16).astype(np.float32), labels, shape=(8, 8))


def digits_counts() -> Dataset:
    """The same digits, split alike, as recorded: counts from 0 to 16, for Binomial units of 16 trials.

    A count is the number of inked points in a block of 4 x 4 of the scanned bitmap.
    """
    images, labels = _digits()
    return _parted("digits-counts", images.astype(np.uint8), labels, shape=(8, 8))


def bars_and_stripes() -> Dataset:
    """The 30 distinct patterns of 4 x 4 pixels whose rows are each of one colour, or whose columns are.

    All are train, valid and test at once: a toy whose best mean log-likelihood is known, -ln 30 nats.
    """
    lines = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(np.uint8)
    stripes = np.repeat(lines, 4, axis=1)
    bars = np.tile(lines, (1, 4))
    patterns = np.unique(np.concatenate([stripes, bars]), axis=0)
    note = "bars-and-stripes: all 30 patterns are train, valid and test at once."
    return Dataset("bars-and-stripes", patterns, patterns, patterns, "binary", shape=(4, 4), notes=[note])


def wine() -> Dataset:
    """178 wines of three growers, 13 chemical measurements each, for Gaussian units.

    UCI Wine (Forina et al. 1991) as it comes with scikit-learn. Each column is standardised with the mean and
    the standard deviation of the train rows. `labels` has the grower.
    """
    from sklearn.datasets import load_wine

    source = load_wine()
    rows = split(len(source.data))
    train = source.data[rows["train"]]
    values = ((source.data - train.mean(axis=0)) / train.std(axis=0)).astype(np.float32)
    note = "wine: columns are in standard deviations of the train rows around their means."
    return _parted("wine", values, source.target, columns=tuple(source.feature_names), notes=[note])


BUNDLED: dict[str, Callable[[], Dataset]] = {
    "digits": digits,
    "digits-grey": digits_grey,
    "digits-counts": digits_counts,
    "bars-and-stripes": bars_and_stripes,
    "wine": wine,
}
"""The function that makes each bundled data set; the first line of its docstring says what it is."""


def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    source = load_digits()
    return source.data, source.target


def _parted(
    name: str,
    values: np.ndarray,
    labels: np.ndarray,
    shape: tuple[int, int] | None = None,
    columns: tuple[str, ...] | None = None,
    notes: list[str] | None = None,
) -> Dataset:
    rows = split(len(values))
    return Dataset(
        name=name,
        train=values[rows["train"]],
        valid=values[rows["valid"]],
        test=values[rows["test"]],
        support=describe_support(values),
        shape=shape,
        columns=columns,
        labels={part: labels[rows[part]].astype(np.uint8) for part in PARTS},
        notes=notes or [],
    )
