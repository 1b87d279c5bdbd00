"""Models of which everything is known: log Z, moments, and, where they can be drawn, exact samples.

For holding a sampler or an estimate against the truth, harmonium's own (`python -m benchmarks.calibration`)
or anybody's. Each function returns a `KnownModel`:

    torus, ring, magnet, spin_glass, random_field    Ising lattices, by formulas and transfer matrices
    curie_weiss, hopfield, potts                     all units joined to all, by sums over their numbers
    tree                                             a random tree of spins, by passing messages
    random_couplings, planted, unequal, trained      RBMs with few hidden units, by a sum over their states

>>> from harmonium import testsystems
>>> known = testsystems.ring(12, coupling=0.8, field=0.1)
>>> v = known.sample(2000, seed=1)
>>> error = (v.double().mean(0) - known.mean).abs().max()
>>> bool(error < 5 / 2000**0.5)
True

A sampler of your own gives rows v; their means have standard errors σ/√ESS, and (mean - known.mean) in units
of them is normal where the sampler is right. `known.mean_energy` sees collective modes that single units
don't.
"""

from __future__ import annotations

from harmonium.testsystems.known import KnownModel
from harmonium.testsystems.lattices import (
    CRITICAL,
    kaufman,
    lattice,
    magnet,
    random_field,
    ring,
    spin_glass,
    torus,
)
from harmonium.testsystems.mean_field import curie_weiss, hopfield, potts
from harmonium.testsystems.summed import bars_and_stripes, planted, random_couplings, trained, unequal
from harmonium.testsystems.trees import tree

__all__ = [
    "CRITICAL",
    "KnownModel",
    "bars_and_stripes",
    "curie_weiss",
    "hopfield",
    "kaufman",
    "lattice",
    "magnet",
    "planted",
    "potts",
    "random_couplings",
    "random_field",
    "ring",
    "spin_glass",
    "torus",
    "trained",
    "tree",
    "unequal",
]
