"""`hm.save` and `hm.load`: a model is its config, from which it is built, and its tensors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from harmonium import checks
from harmonium.columns import Schema
from harmonium.models import EnergyModel
from harmonium.models.energy import energy_model
from harmonium.store.claims import SMALL, largest_claim
from harmonium.store.files import (
    Facts,
    dtype_of,
    load_tensors,
    save_tensors,
    tensors_from_bytes,
    tensors_to_bytes,
)
from harmonium.store.registry import build


def save(model: EnergyModel, path: str | os.PathLike[str], facts: Facts | None = None) -> None:
    """Write a model into one safetensors file, in the dtype that it has; and the names of the columns
    that it was trained on, or its schema.

    The file is replaced in one step: after a crash it holds the old model or the new one, never half of it.

    Args:
        model: the model; it must define `config()`.
        path: the file, usually "model.safetensors".
        facts: a JSON object kept beside the model, such as what it has learned from; `read_facts` returns it.

    Raises:
        TypeError: something that isn't a model, or one without `config()`.
        ValueError: a parameter is NaN.
        OSError: the file can't be written.

    >>> import tempfile, harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(4), hidden=hm.Bernoulli(2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hm.save(rbm, f"{folder}/model.safetensors")
    ...     hm.load(f"{folder}/model.safetensors")
    RBM(
      4 × 2, torch.float32
      (visible): Bernoulli(4)
      (hidden): Bernoulli(2)
    )
    """
    check_numbers(energy_model("model", model))
    save_tensors(path, model.state_dict(), _about(model, facts))


def check_numbers(model: EnergyModel) -> None:
    """Refuse to write a model with NaN."""
    for name, x in model.state_dict().items():
        if bool(x.isnan().any()):
            raise ValueError(f"model must hold numbers, got NaN in {name}, and was not saved.")


def _about(model: EnergyModel, facts: Facts | None = None) -> Facts:
    if not isinstance(facts, (dict, type(None))):
        raise TypeError(f"facts must be a dict, got {checks.describe(facts)}.")
    try:
        json.dumps(facts, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"facts must be what JSON can hold: {error}.") from None
    about = {"kind": "model", "config": model.config(), "columns": model.columns, "about": facts or {}}
    return about if model.schema is None else about | {"schema": model.schema.config()}


def load(
    path: str | os.PathLike[str],
    *,
    types: Iterable[type[nn.Module]] = (),
    device: Any = "cpu",
) -> EnergyModel:
    """The model that `save` wrote, with its parameters and dtype.

    Args:
        path: the file.
        types: classes of your own that the file may name, models or units; harmonium's are known.
        device: where the parameters go.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a harmonium model, damaged, of a later format or of an unknown type.
    """
    where, known = checks.device("device", device), checks.a_list("types", types, "classes")
    return _built(str(path), *load_tensors(path), known).to(where)


def to_bytes(model: EnergyModel) -> bytes:
    """The file that `save` would write, in memory."""
    return tensors_to_bytes(model.state_dict(), _about(model))


def from_bytes(data: bytes, *, types: Iterable[type[nn.Module]] = ()) -> EnergyModel:
    """The model of `to_bytes`, on the CPU.

    >>> import harmonium as hm
    >>> from_bytes(to_bytes(hm.RBM(hm.Bernoulli(4), hm.Bernoulli(2)))).visible
    Bernoulli(4)
    """
    return _built("the bytes", *tensors_from_bytes(data), types)


def _built(
    path: str, tensors: dict[str, Tensor], facts: Facts, types: Iterable[type[nn.Module]]
) -> EnergyModel:
    if facts.get("kind") != "model":
        raise ValueError(f"{path} doesn't hold a model: harmonium wrote it as a {facts.get('kind')}.")
    said, held = facts.get("config"), sum(x.numel() for x in tensors.values())
    try:
        if largest_claim(said) > max(held, SMALL):
            raise ValueError(f"it describes a model larger than the {held:,} numbers that it holds.")
        model = build(said, types)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} can't be read: {error}") from error
    if not isinstance(model, EnergyModel):
        raise ValueError(f"{path} doesn't hold a model but {type(model).__name__} units.")
    fill(model, tensors, path)
    columns = facts.get("columns")
    if columns is not None:
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise ValueError(f"{path} can't be read: names of columns must be a list of texts.")
        model.columns = tuple(columns) or None
    if facts.get("schema") is not None:
        model.schema = _schema(facts["schema"], path)
    return model


def _schema(said: Any, title: str) -> Schema:
    try:
        return Schema.from_config(said)
    except ValueError as error:
        raise ValueError(f"{title} can't be read: {error}") from error


def fill(module: nn.Module, tensors: dict[str, Tensor], title: str) -> None:
    """Put saved tensors into a module, names and shapes compared first; takes on their dtype."""
    expected = {name: tuple(x.shape) for name, x in module.state_dict().items()}
    found = {name: tuple(x.shape) for name, x in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        want, got = expected.get(name, "no such tensor"), found.get(name, "none")
        if want != got:
            shapes = f"{name}: expected {_shape(want)}, got {_shape(got)}"
            raise ValueError(f"{title} doesn't fit the model that it describes ({shapes}).")
    dtype = dtype_of(tensors)
    if dtype is not None:
        module.to(dtype)
    module.load_state_dict(tensors)


def _shape(shape: tuple[int, ...] | str) -> str:
    return shape if isinstance(shape, str) else f"shape {shape}"
