"""Models without a finite partition function say so, and those that have one are not refused."""

import math

import pytest
import torch

import harmonium as hm
from harmonium.couplings import Coupling, Dense
from harmonium.models import PairwiseModel
from registry import DOUBLE, INFEASIBLE, PAIRS, QUADRATIC, build, layer


def name(pair):
    return "-".join(pair)


@pytest.mark.parametrize("names", INFEASIBLE, ids=name)
def test_infeasible_pairs_are_refused(names):
    with pytest.raises(
        ValueError, match=r"^visible, hidden: .* units can't be coupled to .* infinite; join Poisson"
    ):
        hm.RBM(layer(names[0]), layer(names[1], 2))


@pytest.mark.parametrize("names", [p for p in PAIRS if p[0] in QUADRATIC and p[1] in QUADRATIC], ids=name)
def test_couplings_stronger_than_the_tails_are_named(names):
    rbm = build(*names)
    assert rbm.reason_not_normalizable() is None
    with torch.no_grad():
        rbm.weight.fill_(3.0)
    reason = rbm.reason_not_normalizable()
    assert reason.startswith("the partition function may be infinite: the couplings between ")
    with pytest.raises(ValueError, match="^model: the partition function may be infinite"):
        hm.sample(rbm, 3)


def test_the_edge_of_normalizability():
    for kinds in (
        (hm.Gaussian, hm.Gaussian),
        (hm.Gaussian, hm.ReLU),
        (hm.ReLU, hm.ReLU),
        (hm.DReLU, hm.ReLU),
    ):
        rbm = hm.RBM(kinds[0](1), kinds[1](1), dtype=DOUBLE)
        with torch.no_grad():
            for key, p in rbm.named_parameters():
                if "precision" in key:
                    p.fill_(math.log(4.0) if key.startswith("visible") else 0.0)
            for weight, finite in (
                (1.99, True),
                (2.01, False),
                (-1.99, True),
                (-2.01, kinds == (hm.ReLU,) * 2),
            ):
                rbm.weight.fill_(weight)  # the edge is at √(4·1)
                assert (rbm.reason_not_normalizable() is None) == finite, (kinds, weight)


def test_rectified_units_may_oppose_each_other():
    # I - WᵀW has a negative eigenvalue along (1, -1) or (1, 1); only the latter lies where both are positive
    rbm = hm.RBM(hm.Gaussian(1), hm.ReLU(2), dtype=DOUBLE)
    angle = torch.linspace(0, math.pi / 2, 50, dtype=DOUBLE)
    far = 1e3 * torch.stack([angle.cos(), angle.sin()], 1)
    for weight, finite in (
        ([0.8, -0.8], True),
        ([0.8, 0.8], False),
        ([0.6, 0.6], True),
        ([1.01, -0.1], False),
    ):
        with torch.no_grad():
            rbm.weight.copy_(torch.tensor([weight]))
        assert (rbm.reason_not_normalizable() is None) == finite, weight
        assert bool((rbm.hidden_free_energy(far) > 0).all()) == finite
    both = hm.RBM(hm.ReLU(2), hm.ReLU(3), dtype=DOUBLE)
    with torch.no_grad():
        both.weight.fill_(-50.0)
    assert both.reason_not_normalizable() is None


def test_quadratic_tails_of_all_blocks_count_together():
    class Triangle(PairwiseModel):
        def couplings(self):
            weight = torch.full((1, 1), self.strength)
            return [
                Coupling(Dense(weight), 0, 1),
                Coupling(Dense(weight), 0, 2),
                Coupling(Dense(weight), 1, 2),
            ]

    model = Triangle(hm.Gaussian(1), hm.Gaussian(1), hm.Gaussian(1))
    model.strength = 0.49  # the largest eigenvalue of three equal couplings w is 2w
    assert model.reason_not_normalizable() is None
    model.strength = 0.51
    assert "infinite" in model.reason_not_normalizable()


def test_poisson_hides_in_no_mixed_layer():
    with pytest.raises(ValueError, match="Poisson units can't be coupled to Gaussian units"):
        hm.RBM(hm.Mixed(hm.Poisson(1), hm.Gaussian(1)), hm.Gaussian(2))
    hm.RBM(hm.Mixed(hm.Poisson(1), hm.Gaussian(1)), hm.Bernoulli(2))


@pytest.mark.parametrize("names", [("Bernoulli", "Bernoulli"), ("Gaussian", "ReLU")])
def test_parameters_of_nan_are_named(names):
    rbm = build(*names)
    with torch.no_grad():
        rbm.weight[0, 0] = math.nan
    assert "NaN" in rbm.reason_not_normalizable()
    with pytest.raises(ValueError, match="NaN"):
        hm.sample(rbm, 3)
