"""Models carried between libraries: parameters are copied, and free energies agree.

scikit-learn's and dimod's are objects; those of rbms and RestrictedBoltzmannMachines.jl are HDF5 files.
"""

from __future__ import annotations

import re
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonium import checks
from harmonium.models import RBM, MarkovRandomField
from harmonium.models.rbm import checked_rbm
from harmonium.store.files import replacing
from harmonium.store.hdf5 import Hdf5, Location, opened
from harmonium.store.model import check_numbers
from harmonium.units import Bernoulli, Categorical, Gaussian, Spin, Units

JULIA_FORMAT = "1.0.0"
BINARY = (0.0, 1.0)  # the values of 0/1 units


def from_sklearn(fitted: Any) -> RBM:
    """The machine of a fitted `BernoulliRBM`, scikit-learn's or `harmonium.estimators`', in its dtype.

    Raises:
        TypeError: something without `components_`, `intercept_visible_` and `intercept_hidden_`.

    >>> import numpy as np
    >>> from sklearn.neural_network import BernoulliRBM
    >>> from_sklearn(BernoulliRBM(n_components=2, n_iter=1).fit(np.eye(3))).weight.shape
    torch.Size([3, 2])
    """
    names = "components_", "intercept_visible_", "intercept_hidden_"
    if not all(hasattr(fitted, name) for name in names):
        raise TypeError(
            f"fitted must be a fitted BernoulliRBM, with {', '.join(names)}, got a {type(fitted).__name__}."
        )
    weight, visible, hidden = (torch.as_tensor(np.array(getattr(fitted, name))) for name in names)
    if visible.ndim != 1 or hidden.ndim != 1 or weight.shape != (len(hidden), len(visible)):
        raise ValueError(
            f"fitted: components_ of the shape {tuple(weight.shape)} don't couple {tuple(visible.shape)}"
            f" visible to {tuple(hidden.shape)} hidden units."
        )
    return _machine(Bernoulli(len(visible)), Bernoulli(len(hidden)), weight.T, (visible, hidden))


def to_sklearn(model: RBM) -> Any:
    """scikit-learn's `BernoulliRBM` with the parameters of a machine of 0/1 units, fitted.

    Raises:
        TypeError: other units.

    >>> import harmonium as hm
    >>> to_sklearn(hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2))).components_.shape
    (2, 3)
    """
    from sklearn.neural_network import BernoulliRBM

    _only_bernoulli(model, "scikit-learn's BernoulliRBM")
    fitted = BernoulliRBM(n_components=model.hidden.width)
    weight, visible, hidden = (
        x.detach().cpu().numpy().copy() for x in (model.weight, model.visible.bias, model.hidden.bias)
    )
    fitted.components_, fitted.intercept_visible_, fitted.intercept_hidden_ = weight.T, visible, hidden
    fitted.h_samples_ = np.zeros((fitted.batch_size, model.hidden.width), weight.dtype)
    fitted.n_features_in_, fitted._n_features_out = weight.shape
    return fitted


# -- rbms: update_N/params of an archive that may hold many updates -----------------------------------------


def load_rbms(path: Location, update: int | None = None) -> RBM:
    """A machine from an HDF5 archive of the package rbms (0.5): 0/1 or Potts visible units, 0/1 hidden ones.

    Args:
        path: the archive.
        update: which of its updates; by default the last.

    Raises:
        ValueError: the file holds no such update, or a model of another kind.
    """
    with opened(path) as file:
        updates = sorted(int(m[1]) for m in (re.fullmatch(r"update_(\d+)", n) for n in file.names()) if m)
        chosen = update if update is not None else max(updates, default=None)
        kind = file.text("model_type")
        if chosen not in updates or kind not in ("BBRBM", "PBRBM"):
            raise file.wrong(
                f"it must be an archive of rbms, a BBRBM or PBRBM with update {chosen}, got {kind} with the"
                f" updates {updates}"
            )
        axes = 1 if kind == "BBRBM" else 2
        named = {"weight_matrix": axes + 1, "vbias": axes, "hbias": 1}
        weight, visible, hidden = (
            torch.from_numpy(file.array(f"update_{chosen}/params/{name}", n)) for name, n in named.items()
        )
        if weight.shape != (*visible.shape, *hidden.shape) or (axes == 2 and visible.shape[1] < 2):
            raise file.wrong(
                f"weight_matrix of the shape {tuple(weight.shape)} doesn't couple vbias"
                f" {tuple(visible.shape)} to hbias {tuple(hidden.shape)}"
            )
    units = Bernoulli(len(visible)) if kind == "BBRBM" else Categorical(*visible.shape)
    return _machine(units, Bernoulli(len(hidden)), weight.flatten(0, -2), (visible.flatten(), hidden))


def save_rbms(model: RBM, path: Location, chains: Any = None) -> None:
    """Write a machine as an archive of rbms (0.5) with one update, number 1; replaces `path` in one step.

    Args:
        model: 0/1 or categorical visible units, 0/1 hidden ones.
        path: the file.
        chains: visible states that rbms takes for its chains, as it has them (one integer for each Potts
            site); by default one row of zeros.

    Raises:
        TypeError: other units.
    """
    import h5py

    check_numbers(checked_rbm("model", model))
    visible = model.visible
    binary = visible.two_values == BINARY
    if not (binary or visible.one_hot) or model.hidden.two_values != BINARY:
        raise TypeError(
            f"model: rbms has 0/1 or Potts visible and 0/1 hidden units, got {model.visible!r} and"
            f" {model.hidden!r}."
        )
    sites = (visible.n,) if binary else (visible.n, visible.width // visible.n)
    weight, bias, hidden = (_numpy(x) for x in (model.weight, visible.bias, model.hidden.bias))
    rows = np.zeros((1, visible.n)) if chains is None else np.asarray(chains)
    if rows.ndim != 2 or rows.shape[1] != visible.n or rows.dtype.kind not in "biuf":
        raise ValueError(f"chains must be (rows, {visible.n}) numbers, got {checks.describe(rows)}.")
    params = {"weight_matrix": weight.reshape(*sites, -1), "vbias": bias.reshape(sites), "hbias": hidden}
    with replacing(path) as new, h5py.File(new, "w") as file:
        update = file.create_group("update_1")
        group = update.create_group("params")
        for name, x in params.items():
            group[name] = update[name] = x
        update["time"], update.create_group("flags")["checkpoint"] = 0.0, True
        file["model_type"] = "BBRBM" if binary else "PBRBM"
        file["parallel_chains"] = rows.astype(weight.dtype)
        settings = {"batch_size": 1, "gibbs_steps": 1, "learning_rate": 0.01, "L1": 0.0, "L2": 0.0}
        for name, value in settings.items():
            file[f"hyperparameters/{name}"] = value


# -- RestrictedBoltzmannMachines.jl: arrays whose axes h5py shows in the reverse order ----------------------

JULIA_LAYERS = {"Binary": Bernoulli, "Spin": Spin, "Potts": Categorical, "Gaussian": Gaussian}


def load_julia(path: Location) -> RBM:
    """A machine from an HDF5 file of RestrictedBoltzmannMachines.jl (format 1.0.0), with layers of the types
    Binary, Spin, Potts or Gaussian; layers of several dimensions are laid out in Julia's order.

    Raises:
        ValueError: a file of another format, or layers of another type.
    """
    with opened(path) as file:
        version, kind = file.text("rbm_hdf5_file_format_version"), file.text("rbm_type")
        if version != JULIA_FORMAT or kind != "RBM":
            raise file.wrong(
                f"it must be an RBM of RestrictedBoltzmannMachines.jl, format {JULIA_FORMAT}, got {kind} of"
                f" format {version}"
            )
        (visible, a), (hidden, b) = (_from_julia(file, side) for side in ("visible", "hidden"))
        weight = file.array("weights")
        if weight.size != hidden.width * visible.width:
            raise file.wrong(
                f"{weight.size:,} weights don't couple {visible.width:,} visible to {hidden.width:,} hidden"
            )
    # of the axes (visible…, hidden…), reversed, those of the hidden layer come first
    return _machine(visible, hidden, torch.from_numpy(weight.reshape(hidden.width, -1)).T, (a, b))


def save_julia(model: RBM, path: Location) -> None:
    """Write a machine as RestrictedBoltzmannMachines.jl does (format 1.0.0); replaces `path` in one step.

    Raises:
        TypeError: units other than Bernoulli, Spin, Categorical and Gaussian.
    """
    import h5py

    check_numbers(checked_rbm("model", model))
    layers = {"visible": model.visible, "hidden": model.hidden}
    content: dict[str, Any] = {"rbm_hdf5_file_format_version": JULIA_FORMAT, "rbm_type": "RBM"}
    axes = []
    for side, layer in layers.items():
        names = [name for name, kind in JULIA_LAYERS.items() if type(layer) is kind]
        if not names:
            raise TypeError(
                f"model: RestrictedBoltzmannMachines.jl has {', '.join(JULIA_LAYERS)} layers here, got"
                f" {layer!r}."
            )
        shape = (layer.n, layer.width // layer.n) if layer.one_hot else (layer.n,)
        axes.append(shape)
        precision = layer.normal_precision
        par = [_numpy(layer.bias)] + ([] if precision is None else [_numpy(precision)])
        content[f"{side}_type"] = names[0]
        content[f"{side}_par"] = np.stack([x.reshape(shape) for x in par], -1)
    content["weights"] = _numpy(model.weight).T.reshape(*axes[1], *axes[0])
    with replacing(path) as new, h5py.File(new, "w") as file:
        for name, x in content.items():
            file[name] = x


def _from_julia(file: Hdf5, side: str) -> tuple[Units, Tensor]:
    """A layer and its bias; the precision of a Gaussian one is in it."""
    kind, par = file.text(f"{side}_type"), torch.from_numpy(file.array(f"{side}_par"))
    if kind not in JULIA_LAYERS:
        raise file.wrong(f"{side} layers must be {', '.join(JULIA_LAYERS)}, got {kind}")
    axes, numbers = (3 if kind == "Potts" else 2), (2 if kind == "Gaussian" else 1)
    if par.ndim < axes or par.shape[-1] != numbers or (kind == "Potts" and par.shape[-2] < 2):
        raise file.wrong(f"{side}_par of a {kind} layer can't have the shape {tuple(par.shape)}")
    n, first = par[..., 0].numel(), par[..., 0].flatten()
    if kind == "Potts":
        states = par.shape[-2]
        return Categorical(n // states, states), first
    layer = JULIA_LAYERS[kind](n)  # all others take their number alone
    if isinstance(layer, Gaussian):
        if not bool(par[..., 1].all()):
            raise file.wrong(f"{side}_par must hold precisions other than 0")
        layer.to(par.dtype).log_precision.data.copy_(par[..., 1].flatten().abs().log())
    return layer, first


# -- dimod: energies of pairs ------------------------------------------------------------------------------


def from_dimod(bqm: Any, beta: float = 1.0) -> MarkovRandomField:
    """P(x) ∝ exp(-β E(x)) of a `dimod.BinaryQuadraticModel`, as a Markov random field over its variables.

    States are 0 and 1; of spins 0 is -1 and 1 is +1. The offset becomes a constant factor, so that log Z is
    that of the energies as dimod has them.
    """
    if not all(hasattr(bqm, name) for name in ("vartype", "linear", "quadratic", "offset")):
        raise TypeError(f"bqm must be a dimod.BinaryQuadraticModel, got {checks.describe(bqm)}.")
    beta = checks.number("beta", beta)
    values = np.array([-1.0, 1.0]) if bqm.vartype.name == "SPIN" else np.array([0.0, 1.0])
    names = list(bqm.variables)
    factors: list[Any] = [((name,), -beta * float(bqm.linear[name]) * values) for name in names]
    factors += [
        ((u, v), -beta * float(bias) * np.outer(values, values)) for (u, v), bias in bqm.quadratic.items()
    ]
    factors.append(((), np.array(-beta * float(bqm.offset))))
    return MarkovRandomField(dict.fromkeys(names, 2), [(c, torch.from_numpy(x)) for c, x in factors])


def to_dimod(model: RBM | MarkovRandomField) -> Any:
    """A `dimod.BinaryQuadraticModel` with the energies of a model of two-state variables, of type BINARY.

    Variables are those of the field; of a machine ("v", i) and ("h", j), Bernoulli or Spin units.

    Raises:
        TypeError: other units, more states, factors of more than two variables, or potentials of zero.
        ImportError: dimod isn't installed.
    """
    if not isinstance(model, (RBM, MarkovRandomField)):
        raise TypeError(f"model must be an RBM or a MarkovRandomField, got {checks.describe(model)}.")
    import dimod

    bqm = dimod.BinaryQuadraticModel("BINARY")
    _add_energies(model, bqm)
    return bqm


@singledispatch
def _add_energies(model: Any, bqm: Any) -> None:
    """Add those of a machine."""
    sides = [("v", model.visible), ("h", model.hidden)]
    if any(layer.two_values is None for _, layer in sides):
        raise TypeError(f"model: dimod has two-state variables, got {model.visible!r} and {model.hidden!r}.")
    values = [_numpy(layer.site_values().double())[:, 0] for _, layer in sides]
    for (letter, layer), x in zip(sides, values, strict=True):
        for i, bias in enumerate(layer.bias.tolist()):
            _add_factor(bqm, ((letter, i),), torch.from_numpy(-bias * x))
    outer = np.outer(*values)
    for i, row in enumerate(model.weight.tolist()):
        for j, weight in enumerate(row):
            _add_factor(bqm, (("v", i), ("h", j)), torch.from_numpy(-weight * outer))


@_add_energies.register(MarkovRandomField)
def _(model: MarkovRandomField, bqm: Any) -> None:
    for scope, table in model.factors:
        _add_factor(bqm, scope, -table)


def _add_factor(bqm: Any, scope: tuple[Any, ...], energy: Tensor) -> None:
    """Add the energies of a table over at most two variables of two states."""
    if len(scope) > 2 or any(q != 2 for q in energy.shape) or not bool(energy.isfinite().all()):
        raise TypeError(
            "model: dimod has energies of at most two variables of two states, all finite, got a factor over"
            f" {scope} of shape {tuple(energy.shape)}."
        )
    for name in scope:
        bqm.add_variable(name, 0.0)
    e = energy.double()
    if not scope:
        bqm.offset += float(e)
    elif len(scope) == 1:
        bqm.offset += float(e[0])
        bqm.add_linear(scope[0], float(e[1] - e[0]))
    else:
        bqm.offset += float(e[0, 0])
        bqm.add_linear(scope[0], float(e[1, 0] - e[0, 0]))
        bqm.add_linear(scope[1], float(e[0, 1] - e[0, 0]))
        bqm.add_quadratic(*scope, float(e[0, 0] + e[1, 1] - e[0, 1] - e[1, 0]))


# -- in common ---------------------------------------------------------------------------------------------


@torch.no_grad()
def _machine(visible: Units, hidden: Units, weight: Tensor, biases: tuple[Tensor, Tensor]) -> RBM:
    """A machine with copies of these parameters, in the dtype of its couplings (n_visible, n_hidden)."""
    model = RBM(visible, hidden, dtype=weight.dtype)
    for parameter, value in zip((model.weight, visible.bias, hidden.bias), (weight, *biases), strict=True):
        parameter.copy_(value)
    return model


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


def _only_bernoulli(model: Any, what: str) -> None:
    if any(layer.two_values != BINARY for layer in checked_rbm("model", model).layers):
        raise TypeError(f"model: {what} has 0/1 units on both sides, got {checks.describe(model)}.")
