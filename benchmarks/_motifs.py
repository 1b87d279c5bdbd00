"""Sequences like the promoters of bacteria, from a distribution whose log P is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

SITES, LETTERS = 40, 4
BACKGROUND = np.array([0.32, 0.18, 0.18, 0.32])  # of A, C, G, T
BOXES = (("TTGACA", "CTGGCA"), range(4, 9)), (("TATAAT", "TACGAT"), range(22, 28))
CONSENSUS = 0.88  # probability of the motif's own letter; the others share the rest
ABSENT = 0.1  # probability that a box is missing


def components() -> tuple[np.ndarray, np.ndarray]:
    """(weights (K,), probabilities (K, SITES, LETTERS)) of a mixture of independent sites: each box has one
    of its variants at one of its places, or is missing.
    """
    pages, weights = [np.tile(BACKGROUND, (SITES, 1))], [1.0]
    for variants, places in BOXES:
        share = (1.0 - ABSENT) / (len(variants) * len(places))
        filled = [
            (_placed(page, motif, place), weight * share)
            for page, weight in zip(pages, weights, strict=True)
            for motif in variants
            for place in places
        ]
        pages += [page for page, _ in filled]
        weights = [weight * ABSENT for weight in weights] + [weight for _, weight in filled]
    return np.array(weights), np.array(pages)


def _placed(page: np.ndarray, motif: str, place: int) -> np.ndarray:
    page = page.copy()
    for offset, letter in enumerate(motif):
        page[place + offset] = (1.0 - CONSENSUS) / (LETTERS - 1)
        page[place + offset, "ACGT".index(letter)] = CONSENSUS
    return page


def log_probability(codes: np.ndarray) -> np.ndarray:
    """log P of sequences (rows, SITES) of integers 0 to 3, nats."""
    weights, pages = components()
    total = np.tile(np.log(weights), (len(codes), 1))
    for site in range(SITES):
        total += np.log(pages[:, site, :])[:, codes[:, site]].T
    top = total.max(1, keepdims=True)
    return top[:, 0] + np.log(np.exp(total - top).sum(1))


def motifs(n: tuple[int, int, int] = (10_000, 2_000, 3_000), seed: int = 0) -> SimpleNamespace:
    """Rows `train`, `valid` and `test` of integers 0 to 3, independent of each other."""
    random = np.random.default_rng(seed)
    weights, pages = components()
    chosen = random.choice(len(weights), sum(n), p=weights)
    levels = pages[chosen].cumsum(2)
    codes = (random.random((sum(n), SITES, 1)) > levels[..., :-1]).sum(2)
    train, valid, test = np.split(codes, np.cumsum(n)[:-1])
    return SimpleNamespace(train=train, valid=valid, test=test, width=SITES)
