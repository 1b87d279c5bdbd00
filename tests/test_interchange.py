"""Models carried to other libraries and back: free energies are those of the other side."""

import h5py
import numpy as np
import pytest
import torch

import harmonium as hm


def machine(visible, hidden, seed=0):
    rbm = hm.RBM(visible, hidden, dtype=torch.float64, seed=seed)
    with torch.no_grad():
        for k, p in enumerate(rbm.parameters()):
            p.add_(torch.linspace(-0.7, 0.9, p.numel(), dtype=p.dtype).view_as(p) * (1 + k))
        rbm.weight.mul_(0.3)
    return rbm


def rows(units, n=6):
    u = torch.linspace(0.01, 0.99, n * units.width).view(n, -1).double()
    return units.mode(torch.sin(37.0 * u)) if not isinstance(units, hm.Gaussian) else torch.sin(37.0 * u)


def softplus(x):
    return np.logaddexp(0.0, x)


@pytest.mark.parametrize("visible", [hm.Bernoulli(5), hm.Categorical(3, 4)])
def test_archives_of_rbms_hold_what_rbms_reads(visible, tmp_path):
    rbm = machine(visible, hm.Bernoulli(3))
    hm.save_rbms(rbm, tmp_path / "a.h5")
    v = rows(visible)
    with h5py.File(tmp_path / "a.h5") as file:
        params = {name: x[()] for name, x in file["update_1/params"].items()}
        assert file["model_type"][()].decode() == ("BBRBM" if visible.cardinality == 2 else "PBRBM")
        assert file["parallel_chains"].shape == (1, visible.n) and file["update_1/time"][()] == 0.0
    if visible.cardinality == 2:  # the formulas of rbms, from its arrays
        field = v.numpy() @ params["vbias"]
        hidden = v.numpy() @ params["weight_matrix"] + params["hbias"]
    else:
        sites = v.view(len(v), 3, 4).numpy()
        field = np.einsum("ric,ic->r", sites, params["vbias"])
        hidden = np.einsum("ric,ich->rh", sites, params["weight_matrix"]) + params["hbias"]
    theirs = -field - softplus(hidden).sum(1)
    again = hm.load_rbms(tmp_path / "a.h5")
    for model in (rbm, again):
        np.testing.assert_allclose(model.free_energy(v).detach(), theirs, atol=1e-9)
    with pytest.raises(ValueError, match="update 7"):
        hm.load_rbms(tmp_path / "a.h5", update=7)


@pytest.mark.parametrize(
    "visible, hidden",
    [
        (hm.Bernoulli(4), hm.Bernoulli(3)),
        (hm.Spin(4), hm.Gaussian(2)),
        (hm.Categorical(3, 2), hm.Spin(3)),
        (hm.Gaussian(3), hm.Bernoulli(2)),
    ],
)
def test_files_of_julia_come_back(visible, hidden, tmp_path):
    rbm = machine(visible, hidden)
    hm.save_julia(rbm, tmp_path / "a.h5")
    again, v = hm.load_julia(tmp_path / "a.h5"), rows(visible)
    torch.testing.assert_close(again.free_energy(v), rbm.free_energy(v), rtol=0, atol=1e-9)


def test_axes_of_julia_are_reversed(tmp_path):
    """A file as Julia writes it, Potts (q=2, N=3) and Gaussian (M=2) layers, by its formula of the energy."""
    rng = np.random.default_rng(0)
    w, theta = 0.3 * rng.normal(size=(2, 3, 2)), rng.normal(size=(1, 2, 3))  # Julia's axes
    par = np.stack([rng.normal(size=2), -(1.0 + rng.random(2))])  # the sign of γ doesn't count
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rbm_hdf5_file_format_version"], file["rbm_type"] = "1.0.0", "RBM"
        file["weights"], file["visible_par"], file["hidden_par"] = w.T, theta.T, par.T
        file["visible_type"], file["hidden_type"] = "Potts", "Gaussian"
    x = np.zeros((2, 3))
    x[[0, 1, 1], [0, 1, 2]] = 1.0  # states 1, 2, 2 of the three sites
    h = np.array([0.4, -1.1])
    energy = -(theta[0] * x).sum() + (abs(par[1]) / 2 * h**2 - par[0] * h).sum()
    energy -= np.einsum("cn,cnm,m->", x, w, h)
    rbm = hm.load_julia(tmp_path / "a.h5")
    found = rbm.energy(torch.tensor(x.T.reshape(1, -1)), torch.tensor(h[None]))
    np.testing.assert_allclose(found.detach(), [energy], rtol=1e-9)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["hidden_type"][()] = "xReLU"
    with pytest.raises(ValueError, match="hidden layers must be Binary"):
        hm.load_julia(tmp_path / "a.h5")


def test_other_files_and_units_are_refused_in_a_sentence(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    for load in (hm.load_rbms, hm.load_julia):
        with pytest.raises(FileNotFoundError, match="no such file"):
            load(tmp_path / "none.h5")
        with pytest.raises(ValueError, match="no HDF5 file"):
            load(tmp_path / "text.h5")
    for save in (hm.save_rbms, hm.save_julia):
        with pytest.raises(TypeError, match="model: "):
            save(hm.RBM(hm.Poisson(2), hm.Bernoulli(2)), tmp_path / "x.h5")
    with pytest.raises(TypeError, match="model: "):
        hm.to_sklearn(hm.RBM(hm.Spin(2), hm.Bernoulli(2)))


def test_dimod_both_ways():
    dimod = pytest.importorskip("dimod")
    for vartype in ("BINARY", "SPIN"):
        bqm = dimod.BinaryQuadraticModel(
            {"a": 0.3, "b": -1.0}, {("a", "b"): 0.7, ("b", "c"): -0.2}, 0.5, vartype
        )
        field = hm.from_dimod(bqm)
        states = torch.tensor([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)])
        values = states.numpy() if vartype == "BINARY" else 2 * states.numpy() - 1
        theirs = bqm.energies((values, list(field.variables)))
        np.testing.assert_allclose(field.energy(states).detach(), theirs, atol=1e-12)
        again = hm.to_dimod(field)
        np.testing.assert_allclose(
            again.energies((states.numpy(), list(field.variables))), theirs, atol=1e-12
        )
    rbm = machine(hm.Spin(2), hm.Bernoulli(2))
    bqm = hm.to_dimod(rbm)
    v, h = torch.tensor([[-1.0, 1.0]]).double(), torch.tensor([[1.0, 0.0]]).double()
    sample = {("v", 0): 0, ("v", 1): 1, ("h", 0): 1, ("h", 1): 0}
    np.testing.assert_allclose(bqm.energy(sample), rbm.energy(v, h).item(), rtol=1e-12)
