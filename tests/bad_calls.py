"""Calls that harmonium must refuse, for docs/bad-input.md: `python bad_calls.py` makes them all and prints
what was raised, as JSON. In a process of its own: tests hold calls against signatures before functions speak.
"""

import json
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pandas as pd
import torch

import harmonium as hm
from harmonium import columns, couplings, estimators, testsystems

NAN, INF = float("nan"), float("inf")
ROWS = np.tile(np.eye(4), (10, 1))
HUGE = 2**50


def bernoulli(n=4):
    return hm.Bernoulli(n)


def rbm():
    return hm.RBM(bernoulli(), bernoulli(2))


def wide():
    return hm.RBM(bernoulli(60), bernoulli(60))


def broken():
    model = rbm()
    model.weight.data[0, 0] = NAN
    return model


def with_cell(value):
    x = ROWS.copy()
    x[3, 1] = value
    return x


def frame(**named):
    return pd.DataFrame(named)


def labelled():
    return hm.LabelledRBM(bernoulli(), ["a", "b"], bernoulli(2))


def conditional():
    return hm.ConditionalRBM(bernoulli(), 3, bernoulli(2))


def temporal():
    return hm.TemporalRBM(bernoulli(), 2, bernoulli(2))


def deep(kind=hm.DeepBoltzmannMachine):
    return kind(bernoulli(), [bernoulli(3), bernoulli(2)])


def coupled(kind):
    return hm.RBM(bernoulli(), bernoulli(2), couplings=kind)


class Sum(hm.EnergyModel):
    def energy(self, x):
        return x.sum(1)


class Wrong(hm.EnergyModel):
    def energy(self, x):
        return x


def uai(text):
    def call(place):
        (place / "x.uai").write_text(text)
        hm.MarkovRandomField.from_uai(place / "x.uai")

    return call


def field():
    return hm.MarkovRandomField([2, 3], [((0, 1), torch.ones(2, 3))])


def fit(model=None, rows=ROWS, **settings):
    return hm.fit(rbm() if model is None else model, rows, **{"steps": 2, "progress": False} | settings)


def archive(place):
    hm.save_rbms(rbm(), place / "a.h5")
    return place / "a.h5"


def saved(place):
    hm.save(rbm(), place / "m.safetensors")
    return place / "m.safetensors"


def estimator(kind, rows=ROWS, **settings):
    first = (
        {"n_components": 2, "n_iter": 1} if kind is estimators.BernoulliRBM else {"n_hidden": 2, "steps": 2}
    )
    return kind(**first | settings).fit(rows, np.arange(len(rows)) % 2)


FITTED = SimpleNamespace(
    components_=np.ones((2, 3)), intercept_visible_=np.ones(5), intercept_hidden_=np.ones(2)
)
EMPTY = np.empty((0, 4))

UNITS = {
    "Bernoulli of 0 units": lambda p: hm.Bernoulli(0),
    "Bernoulli of half a unit": lambda p: hm.Bernoulli(0.5),
    "Bernoulli of more units than there is memory for": lambda p: hm.Bernoulli(HUGE),
    "Spin of -1 units": lambda p: hm.Spin(-1),
    "Categorical of 1 state": lambda p: hm.Categorical(3, 1),
    "Categorical of more states than there is memory for": lambda p: hm.Categorical(HUGE, 3),
    "Binomial of 0 trials": lambda p: hm.Binomial(3, 0),
    "Gaussian of a text": lambda p: hm.Gaussian("4"),
    "ReLU of True": lambda p: hm.ReLU(True),
    "DReLU of None": lambda p: hm.DReLU(None),
    "Poisson of 2.5 units": lambda p: hm.Poisson(2.5),
    "Mixed of nothing": lambda p: hm.Mixed(),
    "Mixed of a number": lambda p: hm.Mixed(3),
}

MODELS = {
    "RBM of numbers": lambda p: hm.RBM(4, 2),
    "RBM of one layer twice": lambda p: (lambda layer: hm.RBM(layer, layer))(bernoulli()),
    "RBM of more couplings than there is memory for": lambda p: hm.RBM(bernoulli(2**24), bernoulli(2**24)),
    "RBM of integers": lambda p: hm.RBM(bernoulli(), bernoulli(2), dtype=torch.int32),
    "RBM on a device that there is not": lambda p: hm.RBM(bernoulli(), bernoulli(2), device="moon"),
    "RBM with a negative seed": lambda p: hm.RBM(bernoulli(), bernoulli(2), seed=-1),
    "RBM with couplings by name": lambda p: coupled("dense"),
    "RBM.energy of other columns": lambda p: rbm().energy(torch.ones(2, 3), torch.ones(2, 2)),
    "RBM.free_energy of text": lambda p: rbm().free_energy("x"),
    "RBM.free_energy of complex numbers": lambda p: rbm().free_energy(torch.ones(2, 4) * 1j),
    "BoltzmannMachine of no units": lambda p: hm.BoltzmannMachine(0),
    "BoltzmannMachine of unknown units": lambda p: hm.BoltzmannMachine(3, units="poisson"),
    "BoltzmannMachine of more couplings than there is memory for": lambda p: hm.BoltzmannMachine(2**24),
    "ConvolutionalRBM of a number for a shape": lambda p: hm.ConvolutionalRBM(4, 2, 2),
    "ConvolutionalRBM of a kernel larger than the picture": lambda p: hm.ConvolutionalRBM((4, 4), 2, 9),
    "ConvolutionalRBM with other visible units": lambda p: hm.ConvolutionalRBM(
        (4, 4), 2, 2, visible=bernoulli(5)
    ),
    "ConvolutionalRBM with a number for visible units": lambda p: hm.ConvolutionalRBM(
        (4, 4), 2, 2, visible=16
    ),
    "ConvolutionalRBM with pools that don't divide": lambda p: hm.ConvolutionalRBM((4, 4), 2, 2, pool=2),
    "DeepBoltzmannMachine of no hidden layer": lambda p: hm.DeepBoltzmannMachine(bernoulli(), []),
    "DeepBoltzmannMachine of numbers": lambda p: hm.DeepBoltzmannMachine(bernoulli(), [2, 3]),
    "DeepBoltzmannMachine learning other columns": lambda p: fit(deep(), np.eye(5)),
    "DeepBeliefNetwork of numbers": lambda p: hm.DeepBeliefNetwork(bernoulli(), [2, 3]),
    "DeepBeliefNetwork learning text": lambda p: fit(deep(hm.DeepBeliefNetwork), [["a"] * 4]),
    "ConditionalRBM of no context": lambda p: hm.ConditionalRBM(bernoulli(), 0, bernoulli(2)),
    "ConditionalRBM of a number for hidden units": lambda p: hm.ConditionalRBM(bernoulli(), 3, 2),
    "ConditionalRBM learning an infinite context": lambda p: fit(
        conditional(), np.c_[ROWS, np.full((40, 3), INF)]
    ),
    "LabelledRBM of one class": lambda p: hm.LabelledRBM(bernoulli(), 1, bernoulli(2)),
    "LabelledRBM of half a class": lambda p: hm.LabelledRBM(bernoulli(), 2.5, bernoulli(2)),
    "LabelledRBM of a class twice": lambda p: hm.LabelledRBM(bernoulli(), ["a", "a"], bernoulli(2)),
    "LabelledRBM learning other columns": lambda p: fit(labelled(), np.ones((9, 12))),
    "TemporalRBM of no past": lambda p: hm.TemporalRBM(bernoulli(), 0, bernoulli(2)),
    "TemporalRBM of an endless past": lambda p: hm.TemporalRBM(bernoulli(), HUGE, bernoulli(2)),
    "ReplicatedSoftmax of one word": lambda p: hm.ReplicatedSoftmax(1, bernoulli(2)),
    "ReplicatedSoftmax of endlessly many words": lambda p: hm.ReplicatedSoftmax(HUGE, bernoulli(2)),
    "ReplicatedSoftmax learning counts without their sum": lambda p: fit(
        hm.ReplicatedSoftmax(4, bernoulli(2)), ROWS
    ),
    "ReplicatedSoftmax learning counts beside another sum": lambda p: fit(
        hm.ReplicatedSoftmax(3, bernoulli(2)), [[1, 2, 0, 4]]
    ),
    "PairwiseModel of numbers": lambda p: hm.PairwiseModel(3),
    "EnergyModel of variables without states": lambda p: Sum(states=[0]),
    "EnergyModel of bounds in the wrong order": lambda p: Sum(bounds=[(1, 0)]),
    "EnergyModel whose energies have another shape": lambda p: hm.log_partition(Wrong(states=[2, 2])),
    "MarkovRandomField of text": lambda p: hm.MarkovRandomField("ab"),
    "MarkovRandomField of factors that are a number": lambda p: hm.MarkovRandomField([2], 5),
    "MarkovRandomField of a table of another shape": lambda p: hm.MarkovRandomField(
        [2, 2], [((0, 1), torch.ones(2, 3))]
    ),
    "MarkovRandomField of NaN": lambda p: hm.MarkovRandomField([2], [((0,), [NAN, 0.0])]),
    "MarkovRandomField of complex numbers": lambda p: hm.MarkovRandomField([2], [((0,), [1j, 0])]),
    "MarkovRandomField.marginal of no variable": lambda p: field().marginal((0, 9)),
    "MarkovRandomField.energy of a state that there is not": lambda p: field().energy(torch.tensor([[0, 7]])),
    "MarkovRandomField.ising of a number": lambda p: hm.MarkovRandomField.ising(3, 1.0, 1.0),
    "MarkovRandomField.ising of NaN": lambda p: hm.MarkovRandomField.ising(nx.path_graph(3), NAN, 0.0),
    "MarkovRandomField.from_uai of no file": lambda p: hm.MarkovRandomField.from_uai(p / "x.uai"),
    "MarkovRandomField.from_uai of a directory": lambda p: hm.MarkovRandomField.from_uai(p),
    "MarkovRandomField.from_uai of a file that is cut": uai("MARKOV 2 2 2 1 2 0 1 4 0.1 0.2"),
    "MarkovRandomField.from_uai of many states": uai("MARKOV 2 1048576 1048576 1 2 0 1 4 1 1 1 1"),
}

COUPLINGS = {
    "couplings.LowRank of rank 0": lambda p: couplings.LowRank(0),
    "couplings.LowRank of a rank above the widths": lambda p: coupled(couplings.LowRank(9)),
    "couplings.Masked of another shape": lambda p: coupled(couplings.Masked(torch.ones(3, 2))),
    "couplings.Masked of text": lambda p: coupled(couplings.Masked("x")),
    "couplings.Sparse of NaN": lambda p: couplings.Sparse(NAN),
    "couplings.Sparse of one size": lambda p: couplings.Sparse(0.1, 3),
    "couplings.Sparse of blocks that don't divide": lambda p: coupled(couplings.Sparse(0.1, (3, 1))),
    "couplings.Convolution of text": lambda p: couplings.Convolution("4x4", 2, 2),
    "couplings.Convolution between other widths": lambda p: coupled(couplings.Convolution((1, 4, 4), 2, 2)),
}

LEARNING = {
    "fit with no rows": lambda p: fit(rows=EMPTY),
    "fit with NaN alone": lambda p: fit(rows=EMPTY + NAN if len(EMPTY) else ROWS * NAN),
    "fit with values below 0": lambda p: fit(hm.RBM(hm.Poisson(4), bernoulli(2)), with_cell(-1)),
    "fit with infinity": lambda p: fit(rows=with_cell(INF)),
    "fit with text": lambda p: fit(rows=[["a", "b", "c", "d"]]),
    "fit with other columns": lambda p: fit(rows=np.eye(5)),
    "fit with values out of range": lambda p: fit(rows=with_cell(2)),
    "fit with complex numbers": lambda p: fit(rows=ROWS * 1j),
    "fit with rows of different lengths": lambda p: fit(rows=[[1, 0], [1]]),
    "fit of text": lambda p: hm.fit("digits"),
    "fit of a class": lambda p: hm.fit(hm.RBM, ROWS),
    "fit of a function that makes no model": lambda p: hm.fit(lambda n: 3, ROWS),
    "fit with a fractional seed": lambda p: fit(seed=0.5),
    "fit with 0 updates": lambda p: fit(steps=0),
    "fit with infinite minutes": lambda p: hm.fit(rbm(), ROWS, minutes=INF),
    "fit with a batch of 0": lambda p: fit(batch_size=0),
    "fit with too many chains": lambda p: fit(chains=HUGE, negatives="pcd"),
    "fit with a learning rate of NaN": lambda p: fit(learning_rate=NAN),
    "fit with a negative weight decay": lambda p: fit(weight_decay=-1.0),
    "fit with an unknown optimiser": lambda p: fit(optimiser="sgd"),
    "fit with a number for an optimiser": lambda p: fit(optimiser=3),
    "fit with unknown negatives": lambda p: fit(negatives="x"),
    "fit with an objective by name": lambda p: fit(objective="hybrid"),
    "fit with a number for transforms": lambda p: fit(transforms=3),
    "fit with text for a callback": lambda p: fit(callbacks=["x"]),
    "fit with a number for rules": lambda p: fit(rules=3),
    "fit with text for a rule": lambda p: fit(rules=["x"]),
    "fit with a number for a checkpoint": lambda p: fit(checkpoint=3),
    "fit with a folder for a checkpoint": lambda p: fit(checkpoint=p),
    "fit with a checkpoint in no folder": lambda p: fit(checkpoint=p / "none" / "c"),
    "fit resumed without a checkpoint": lambda p: fit(resume=True),
    "fit with a number for a state": lambda p: fit(state=3),
    "fit with weights below 0": lambda p: fit(sample_weight=-np.ones(40)),
    "fit with text for weights": lambda p: fit(sample_weight="x"),
    "fit with validation rows of other columns": lambda p: fit(validation=np.eye(5)),
    "fit of a model with NaN": lambda p: fit(broken()),
    "Schema.of a number": lambda p: hm.Schema.of(3),
    "Schema.of no columns": lambda p: hm.Schema.of(pd.DataFrame()),
    "Schema.of empty cells alone": lambda p: hm.Schema.of(frame(a=[NAN] * 5)),
    "Schema.of lists": lambda p: hm.Schema.of(frame(a=[[1]] * 5)),
    "Schema of numbers": lambda p: hm.Schema([3]),
    "Schema of nothing": lambda p: hm.Schema([]),
    "columns.Binary of three values": lambda p: columns.Binary((1, 2, 3)),
    "columns.Category of a text": lambda p: columns.Category("abc"),
    "columns.Category of a value twice": lambda p: columns.Category(("a", "a")),
    "columns.Count up to -1": lambda p: columns.Count(-1),
    "columns.Number of scale 0": lambda p: columns.Number(scale=0.0),
    "columns.Number of an unknown map": lambda p: columns.Number("x"),
    "columns.Whole from 3 to 1": lambda p: columns.Whole(3, 1),
    "columns.Constant of a list": lambda p: columns.Constant([1]),
}

ANSWERS = {
    "log_partition of rows": lambda p: hm.log_partition(ROWS),
    "log_partition of a model with NaN": lambda p: hm.log_partition(broken()),
    "log_partition by an unknown method": lambda p: hm.log_partition(rbm(), method="x"),
    "log_partition in no time": lambda p: hm.log_partition(wide(), seconds=0),
    "log_partition along a number": lambda p: hm.log_partition(wide(), trajectory=3),
    "log_partition along models of other layers": lambda p: hm.log_partition(wide(), trajectory=[rbm()]),
    "log_partition with a number for progress": lambda p: hm.log_partition(wide(), progress=3),
    "log_likelihood of no rows": lambda p: hm.log_likelihood(rbm(), EMPTY),
    "log_likelihood of infinity": lambda p: hm.log_likelihood(rbm(), with_cell(INF)),
    "log_likelihood with a number for log Z": lambda p: hm.log_likelihood(
        wide(), np.ones((2, 60)), log_partition=3.0
    ),
    "sample of no rows": lambda p: hm.sample(rbm(), 0),
    "sample of too many rows": lambda p: hm.sample(rbm(), HUGE),
    "sample with given of other columns": lambda p: hm.sample(rbm(), 2, [[0, 1, 1]]),
    "sample with given out of range": lambda p: hm.sample(rbm(), 2, [NAN, 2, NAN, NAN]),
    "sample of 0 sweeps": lambda p: hm.sample(rbm(), sweeps=0),
    "sample of a model with NaN": lambda p: hm.sample(broken(), 2),
    "continuation of another model": lambda p: hm.continuation(rbm(), ROWS, 3),
    "continuation of a past that is too short": lambda p: hm.continuation(temporal(), ROWS[:1], 2),
    "continuation with a negative seed": lambda p: hm.continuation(temporal(), ROWS, 2, seed=-1),
    "impute of other columns": lambda p: hm.impute(rbm(), np.eye(5)),
    "impute by a model with NaN": lambda p: hm.impute(broken(), with_cell(NAN)),
    "impute with 0 draws": lambda p: hm.impute(rbm(), with_cell(NAN), draws=0),
    "conditional of no column": lambda p: hm.conditional(rbm(), with_cell(NAN), ["x"]),
    "conditional of nothing": lambda p: hm.conditional(rbm(), with_cell(NAN), []),
    "surprise of text": lambda p: hm.surprise(rbm(), "x"),
    "surprise of a model with NaN": lambda p: hm.surprise(broken(), ROWS),
    "report on no model": lambda p: hm.report("m", ROWS),
    "report on other columns": lambda p: hm.report(rbm(), np.eye(5)),
    "BlockGibbs of 0 sweeps": lambda p: hm.BlockGibbs(sweeps=0),
    "GraphGibbs of half a sweep": lambda p: hm.GraphGibbs(sweeps=0.5),
    "SiteGibbs with a number for a clamp": lambda p: hm.SiteGibbs(clamp=3),
    "GibbsWithGradients of -1 steps": lambda p: hm.GibbsWithGradients(steps=-1),
    "HMC of steps of NaN": lambda p: hm.HMC(step_size=NAN),
    "HMC of 0 leapfrogs": lambda p: hm.HMC(leapfrogs=0),
    "MALA with a target above 1": lambda p: hm.MALA(target=2.0),
    "UnadjustedLangevin of steps of 0": lambda p: hm.UnadjustedLangevin(0.0),
    "Clamp of text": lambda p: hm.Clamp("a", "b"),
    "Clamp of two widths": lambda p: hm.Clamp(torch.ones(3, dtype=torch.bool), torch.ones(4)),
}

FILES = {
    "load of a number": lambda p: hm.load(3),
    "load of a directory": lambda p: hm.load(p),
    "load to a device that there is not": lambda p: hm.load(saved(p), device="moon"),
    "load with a number for types": lambda p: hm.load(saved(p), types=3),
    "save of no model": lambda p: hm.save("model", p / "m"),
    "save of a model with NaN": lambda p: hm.save(broken(), p / "m"),
    "save into no folder": lambda p: hm.save(rbm(), p / "none" / "m"),
    "save in place of a folder": lambda p: hm.save(rbm(), p),
    "save to a number": lambda p: hm.save(rbm(), 3),
    "save of facts that JSON can't hold": lambda p: hm.save(rbm(), p / "m", {"x": object()}),
    "export_features of a deep machine": lambda p: hm.export_features(deep(), p / "m.pt2"),
    "export_features to an unknown ending": lambda p: hm.export_features(rbm(), p / "m.txt"),
    "export_features of a model with NaN": lambda p: hm.export_features(broken(), p / "m.pt2"),
    "load_rbms of no file": lambda p: hm.load_rbms(p / "none.h5"),
    "load_rbms of an update that there is not": lambda p: hm.load_rbms(archive(p), update=7),
    "load_julia of an archive of rbms": lambda p: hm.load_julia(archive(p)),
    "save_rbms of text": lambda p: hm.save_rbms("m", p / "a.h5"),
    "save_rbms of other units": lambda p: hm.save_rbms(hm.RBM(hm.Spin(2), bernoulli(2)), p / "a.h5"),
    "save_rbms of chains of other columns": lambda p: hm.save_rbms(rbm(), p / "a.h5", np.ones((2, 9))),
    "save_julia of a model with NaN": lambda p: hm.save_julia(broken(), p / "a.h5"),
    "from_sklearn of None": lambda p: hm.from_sklearn(None),
    "from_sklearn of shapes that don't fit": lambda p: hm.from_sklearn(FITTED),
    "to_sklearn of other units": lambda p: hm.to_sklearn(hm.RBM(hm.Spin(2), bernoulli(2))),
    "from_dimod of text": lambda p: hm.from_dimod("x"),
    "to_dimod of rows": lambda p: hm.to_dimod(ROWS),
}

ESTIMATORS = {
    "estimators.BernoulliRBM of 0 units": lambda p: estimator(estimators.BernoulliRBM, n_components=0),
    "estimators.BernoulliRBM on a device that there is not": lambda p: estimator(
        estimators.BernoulliRBM, device="moon"
    ),
    "estimators.RBMTransformer of infinity": lambda p: estimator(estimators.RBMTransformer, ROWS * INF),
    "estimators.RBMTransformer on a device that there is not": lambda p: estimator(
        estimators.RBMTransformer, device="moon"
    ),
    "estimators.RBMDensity of no rows": lambda p: estimator(estimators.RBMDensity, EMPTY),
    "estimators.RBMImputer of 0 updates": lambda p: estimator(estimators.RBMImputer, steps=0),
    "estimators.RBMOutlierDetector of more outliers than rows": lambda p: estimator(
        estimators.RBMOutlierDetector, contamination=0.9
    ),
    "estimators.RBMClassifier by an unknown objective": lambda p: estimator(
        estimators.RBMClassifier, objective="x"
    ),
    "estimators.RBMRegressor of integers": lambda p: estimator(estimators.RBMRegressor, dtype="int8"),
    "estimators.RBMEstimator of half a unit": lambda p: estimator(estimators.RBMTransformer, n_hidden=0.5),
}

SYSTEMS = {
    "testsystems.torus of an odd side": lambda p: testsystems.torus(5, 0.3),
    "testsystems.torus without a coupling": lambda p: testsystems.torus(4, 0.0),
    "testsystems.ring of text": lambda p: testsystems.ring("x", 0.3),
    "testsystems.ring of an infinite field": lambda p: testsystems.ring(6, 0.3, INF),
    "testsystems.kaufman of no columns": lambda p: testsystems.kaufman(4, 0, 0.3),
    "testsystems.lattice of two shapes": lambda p: testsystems.lattice(
        np.ones((4, 4)), np.ones((2, 2)), np.ones((4, 4))
    ),
    "testsystems.lattice of too many columns": lambda p: testsystems.lattice(*[np.ones((4, 40))] * 3),
    "testsystems.magnet of odd columns": lambda p: testsystems.magnet(4, 3, 0.3, 0.1),
    "testsystems.spin_glass of too many rows": lambda p: testsystems.spin_glass(HUGE, 4, 0.3, 0.1),
    "testsystems.random_field of NaN": lambda p: testsystems.random_field(4, 4, 0.3, NAN),
    "testsystems.curie_weiss of -1 spins": lambda p: testsystems.curie_weiss(-1, 0.5),
    "testsystems.hopfield of three patterns": lambda p: testsystems.hopfield(6, 0.5, 3),
    "testsystems.potts of NaN": lambda p: testsystems.potts(6, NAN),
    "testsystems.planted of too many patterns": lambda p: testsystems.planted(40, 0.5),
    "testsystems.unequal of text": lambda p: testsystems.unequal(3, "x", 0.5),
    "testsystems.random_couplings of NaN": lambda p: testsystems.random_couplings(NAN),
    "testsystems.trained of text": lambda p: testsystems.trained("x", 2, 2),
    "testsystems.trained of too many hidden units": lambda p: testsystems.trained(torch.ones(4, 4), 40, 2),
    "testsystems.bars_and_stripes of no side": lambda p: testsystems.bars_and_stripes(0),
    "testsystems.tree of no spins": lambda p: testsystems.tree(0, 0.5),
    "testsystems.KnownModel.sample of no rows": lambda p: testsystems.ring(6, 0.3).sample(0),
    "testsystems.KnownModel.sample that can't be drawn": lambda p: testsystems.torus(10, 0.3).sample(3),
}

ALL = {
    "Units": UNITS,
    "Building models": MODELS,
    "Couplings": COUPLINGS,
    "Learning, and tables": LEARNING,
    "Answers and kernels": ANSWERS,
    "Files from Python": FILES,
    "Estimators": ESTIMATORS,
    "Test systems": SYSTEMS,
}


def raised(call, place):
    """(names of the classes of the error, its words), None where there was none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that come before the refusal
            call(place)
    except Exception as error:
        return [kind.__name__ for kind in type(error).__mro__], str(error)


def main():
    found = {}
    for made in ALL.values():
        for case, call in made.items():
            with tempfile.TemporaryDirectory() as folder:
                found[case] = raised(call, Path(folder))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
