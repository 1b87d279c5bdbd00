"""Models and tensors in files: what is read is what was written, and a file is whole or not there."""

import json
import os
import struct

import pytest
import torch

import harmonium as hm
from harmonium import store
from harmonium.store.registry import build

UNITS = [
    lambda: hm.Bernoulli(3),
    lambda: hm.Spin(3),
    lambda: hm.Categorical(2, states=3),
    lambda: hm.Gaussian(3),
    lambda: hm.ReLU(3),
    lambda: hm.DReLU(3),
    lambda: hm.Binomial(3, trials=4),
    lambda: hm.Poisson(3),
    lambda: hm.Mixed(hm.Bernoulli(2), hm.Categorical(1, states=3), hm.Gaussian(2), hm.DReLU(1)),
]


def perturbed(module: torch.nn.Module) -> torch.nn.Module:
    """Every parameter moved off its initial value, each element differently."""
    with torch.no_grad():
        for k, parameter in enumerate(module.parameters()):
            parameter += torch.linspace(0.01, 0.2, parameter.numel()).reshape(parameter.shape) * (k + 1)
    return module


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("visible", UNITS, ids=lambda make: type(make()).__name__)
def test_a_model_comes_back_with_its_types_parameters_and_dtype(tmp_path, visible, dtype):
    model = perturbed(hm.RBM(visible=visible(), hidden=hm.Bernoulli(4), dtype=dtype))
    hm.save(model, tmp_path / "model.safetensors")
    again = hm.load(tmp_path / "model.safetensors")
    assert again.config() == model.config()
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, x in model.state_dict().items():
        y = again.state_dict()[name]
        assert y.dtype == dtype and torch.equal(x, y), name
    v = again.visible.sample(torch.zeros(5, again.visible.width, dtype=dtype), hm.random.Address(0, 1))
    assert torch.equal(model.free_energy(v), again.free_energy(v))


def test_saving_leaves_one_file_and_replaces_an_older_one(tmp_path):
    path = tmp_path / "model.safetensors"
    for seed in (0, 1):
        model = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2), seed=seed)
        hm.save(model, path)
        assert os.listdir(tmp_path) == ["model.safetensors"]
        assert torch.equal(hm.load(path).weight, model.weight)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    path = tmp_path / "none" / "m.safetensors"
    with pytest.raises(FileNotFoundError) as caught:
        hm.save(hm.RBM(hm.Bernoulli(2), hm.Bernoulli(2)), path)
    assert str(caught.value) == f"{path} can't be written: there is no folder {path.parent}."


def test_a_write_that_fails_leaves_the_old_file_as_it_was(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"precious")
    with pytest.raises(RuntimeError, match="power cut"), store.replacing(path) as new:
        new.write_bytes(b"half")
        raise RuntimeError("power cut")
    assert path.read_bytes() == b"precious" and os.listdir(tmp_path) == ["model.safetensors"]


def test_the_content_is_on_the_disk_before_the_name_points_to_it(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    store.save_tensors(tmp_path / "x.safetensors", {"x": torch.ones(2)}, {})
    assert calls == ["fsync", "replace", "fsync"]


def test_a_new_file_has_the_usual_permissions_and_a_replaced_one_keeps_its_own(tmp_path):
    path, usual = tmp_path / "x.safetensors", tmp_path / "usual"
    usual.touch()
    store.save_tensors(path, {"x": torch.ones(2)}, {})
    assert path.stat().st_mode == usual.stat().st_mode
    path.chmod(0o640)
    store.save_tensors(path, {"x": torch.ones(2)}, {})
    assert path.stat().st_mode & 0o777 == 0o640


def test_tensors_keep_their_dtypes_and_may_share_memory(tmp_path):
    path = tmp_path / "x.safetensors"
    base = torch.arange(12, dtype=torch.float64)
    tensors = {
        "view": base.reshape(3, 4).T,
        "same": base,
        "tied": base.reshape(3, 4),
        "bits": torch.tensor([True, False]),
        "bytes": torch.tensor([1, 255], dtype=torch.uint8),
        "half": torch.tensor([0.5], dtype=torch.bfloat16),
        "empty": torch.empty(0, 3),
        "number": torch.tensor(7),
    }
    facts = {"step": 5, "name": "täst", "list": [1.5, None]}
    store.save_tensors(path, tensors, facts)
    again, said = store.load_tensors(path)
    assert said == facts == store.read_facts(path)
    assert again.keys() == tensors.keys()
    for name, x in tensors.items():
        assert again[name].dtype == x.dtype and torch.equal(again[name], x), name


def test_facts_about_a_model_are_kept_beside_it(tmp_path):
    model = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    hm.save(model, tmp_path / "m.safetensors", {"data": "digits"})
    assert store.read_facts(tmp_path / "m.safetensors")["about"] == {"data": "digits"}


def test_facts_that_json_cannot_hold_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError):
        store.save_tensors(tmp_path / "x.safetensors", {}, {"loss": float("nan")})
    assert os.listdir(tmp_path) == []


class Mine(hm.EnergyModel):
    """A model of somebody else's."""

    def __init__(self, n: int, visible: hm.Units | None = None) -> None:
        super().__init__()
        self.n, self.visible = n, visible
        self.field = torch.nn.Parameter(torch.ones(n))

    def energy(self, x):
        return -x @ self.field

    def config(self):
        return {"type": "Mine", "n": self.n}


def test_classes_of_the_users_own_are_named_when_loading(tmp_path):
    path = tmp_path / "m.safetensors"
    hm.save(perturbed(Mine(3)), path)
    assert torch.equal(hm.load(path, types=[Mine]).field, perturbed(Mine(3)).field)
    with pytest.raises(ValueError, match="unknown type 'Mine'; known are"):
        hm.load(path)


class NoConfig(Mine):
    """A model that doesn't say how to build it."""

    config = hm.EnergyModel.config


@pytest.mark.parametrize("thing", [NoConfig(2), torch.nn.Linear(2, 2), "model"])
def test_what_cannot_be_saved_is_a_type_error(tmp_path, thing):
    with pytest.raises(TypeError):
        hm.save(thing, tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == []


def rewrite(path, **changes):
    """The same safetensors file with other metadata."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"] = {k: v for k, v in header["__metadata__"].items() if k != "digest"} | changes
    text = json.dumps({k: v for k, v in header.items() if v}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


def config_of(path, config):
    facts = json.dumps({"kind": "model", "config": config, "about": {}})
    rewrite(path, facts=facts)


BERNOULLI = {"type": "Bernoulli", "n": 4}
DAMAGE = {
    "no file": (lambda p: p.unlink(), FileNotFoundError, "there is no such file"),
    "junk": (lambda p: p.write_bytes(b"GIF89a" * 100), ValueError, "damaged or not a harmonium file"),
    "empty": (lambda p: p.write_bytes(b""), ValueError, "damaged or not a harmonium file"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-8]), ValueError, "damaged or not a harmonium file"),
    "newer": (lambda p: rewrite(p, format="2", harmonium="9.9"), ValueError, "format 2 of harmonium 9.9"),
    "no facts": (lambda p: rewrite(p, facts="{"), ValueError, "is damaged"),
    "a list": (lambda p: rewrite(p, facts="[]"), ValueError, "is damaged"),
    "kind": (lambda p: rewrite(p, facts='{"kind": "checkpoint"}'), ValueError, "wrote it as a checkpoint"),
    "no config": (lambda p: config_of(p, None), ValueError, "what kind of model it is"),
    "type": (lambda p: config_of(p, {"type": "Quantum"}), ValueError, "unknown type 'Quantum'"),
    "units": (lambda p: config_of(p, BERNOULLI), ValueError, "doesn't hold a model but Bernoulli units"),
    "arguments": (
        lambda p: config_of(p, {"type": "RBM", "size": 3}),
        ValueError,
        "RBM can't be built from its description",
    ),
    "shape": (
        lambda p: config_of(p, {"type": "RBM", "visible": BERNOULLI, "hidden": BERNOULLI}),
        ValueError,
        r"hidden.bias: expected shape \(4,\), got shape \(2,\)",
    ),
}


@pytest.mark.parametrize("damage, kind, words", DAMAGE.values(), ids=DAMAGE)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, damage, kind, words):
    path = tmp_path / "model.safetensors"
    hm.save(hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2)), path)
    damage(path)
    with pytest.raises(kind, match=words) as error:
        hm.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_tensors_of_somebody_else_are_not_a_harmonium_file(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="is not a harmonium file"):
        store.load_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("path, kind", [(3, TypeError), (".", FileNotFoundError)])
def test_a_path_must_be_a_file(path, kind):
    with pytest.raises(kind):
        hm.load(path)


def test_a_config_is_built_inside_out():
    layer = hm.Mixed(hm.Categorical(2, states=5), hm.Binomial(1, trials=3))
    assert build(layer.config()).config() == layer.config()
