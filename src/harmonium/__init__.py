"""harmonium: energy-based models on discrete and mixed data, with the restricted Boltzmann machine at the
centre.

Write down an energy; everything else follows: probability, free energy, inference, gradient, samples, and a
likelihood with an interval that holds. Names load on first use, so that importing the package and `harmonium
--help` stay instant.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# Idle threads of the pool that products and draws share would spin for milliseconds before they sleep. On a
# machine that others use too that made training of small models 25 times slower (docs/kernels.md); this long
# they spin about 50 microseconds. It counts only when torch is not loaded yet, and a value already set wins.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# MKL's products then have the same bits on any number of threads, at no cost that could be measured
# (docs/kernels.md). It counts until the first product, and a value already set wins.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__version__ = "0.1.0"

_HOME = {
    "columns": ["Schema"],
    "units": [
        "Bernoulli",
        "Binomial",
        "Categorical",
        "DReLU",
        "Gaussian",
        "Mixed",
        "Poisson",
        "ReLU",
        "Spin",
        "Units",
    ],
    "models": [
        "RBM",
        "BlockModel",
        "BoltzmannMachine",
        "ConditionalRBM",
        "ConvolutionalRBM",
        "DeepBeliefNetwork",
        "DeepBoltzmannMachine",
        "EnergyModel",
        "LabelledRBM",
        "MarkovRandomField",
        "PairwiseModel",
        "ReplicatedSoftmax",
        "TemporalRBM",
    ],
    "sampling": [
        "HMC",
        "MALA",
        "BlockGibbs",
        "Chains",
        "Clamp",
        "GibbsWithGradients",
        "GraphGibbs",
        "SiteGibbs",
        "UnadjustedLangevin",
        "continuation",
        "sample",
    ],
    "diagnostics": ["show_versions"],
    "likelihood": ["Estimate", "log_likelihood", "log_partition"],
    "answers": ["conditional", "impute", "surprise"],
    "recipes": ["fit"],
    "reports": ["report"],
    "store": [
        "export_features",
        "from_dimod",
        "from_sklearn",
        "load",
        "load_julia",
        "load_rbms",
        "save",
        "save_julia",
        "save_rbms",
        "to_dimod",
        "to_sklearn",
    ],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
_PACKAGES = ("columns", "couplings", "estimators", "testsystems")  # that are public themselves

__all__ = ["__version__", *sorted([*_MODULE_OF, *_PACKAGES])]  # noqa: PLE0604  # computed from the table above

if TYPE_CHECKING:
    from harmonium import columns, couplings, estimators, testsystems
    from harmonium.answers import conditional, impute, surprise
    from harmonium.columns import Schema
    from harmonium.diagnostics import show_versions
    from harmonium.likelihood import Estimate, log_likelihood, log_partition
    from harmonium.models import (
        RBM,
        BlockModel,
        BoltzmannMachine,
        ConditionalRBM,
        ConvolutionalRBM,
        DeepBeliefNetwork,
        DeepBoltzmannMachine,
        EnergyModel,
        LabelledRBM,
        MarkovRandomField,
        PairwiseModel,
        ReplicatedSoftmax,
        TemporalRBM,
    )
    from harmonium.recipes import fit
    from harmonium.reports import report
    from harmonium.sampling import (
        HMC,
        MALA,
        BlockGibbs,
        Chains,
        Clamp,
        GibbsWithGradients,
        GraphGibbs,
        SiteGibbs,
        UnadjustedLangevin,
        continuation,
        sample,
    )
    from harmonium.store import (
        export_features,
        from_dimod,
        from_sklearn,
        load,
        load_julia,
        load_rbms,
        save,
        save_julia,
        save_rbms,
        to_dimod,
        to_sklearn,
    )
    from harmonium.units import (
        Bernoulli,
        Binomial,
        Categorical,
        DReLU,
        Gaussian,
        Mixed,
        Poisson,
        ReLU,
        Spin,
        Units,
    )


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"harmonium.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'harmonium' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"harmonium.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
