"""The map from rows to features as a program of its own, which runs without this library."""

from __future__ import annotations

import copy
import importlib.util
import io
import os
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from harmonium.models import RBM
from harmonium.models.rbm import checked_rbm
from harmonium.store.files import place, replacing
from harmonium.store.model import check_numbers
from harmonium.units import Bernoulli, Binomial, Categorical, Gaussian, Spin

KINDS = (Bernoulli, Spin, Categorical, Gaussian, Binomial)
FORMATS = (".pt2", ".onnx")
ROWS = 2  # of the example that a program is traced by; it takes any number


class FeatureMap(nn.Module):
    """v to ⟨h | v⟩, (rows, n_visible) to (rows, n_hidden), with the parameters of a machine.

    Args:
        model: an RBM; its parameters are copied, as constants.
    """

    def __init__(self, model: RBM) -> None:
        super().__init__()
        model = copy.deepcopy(model).requires_grad_(False)
        self.weight, self.hidden = model.weight, model.hidden

    def forward(self, v: Tensor) -> Tensor:
        """As `RBM.hidden_given_visible`."""
        return self.hidden.mean(torch.addmm(self.hidden.bias, v, self.weight))


def export_features(model: RBM, path: str | os.PathLike[str]) -> None:
    """Write the feature map ⟨h | v⟩ of a machine, for visible states of its dtype and any number of rows.

    Args:
        model: an RBM whose hidden units are Bernoulli, Spin, Categorical, Gaussian or Binomial.
        path: ending in .pt2 for a program of PyTorch (`torch.export.load(path).module()`), or in .onnx, which
            needs the packages onnx and onnxscript.

    Raises:
        TypeError: no RBM, or other hidden units. ValueError: another ending. ImportError: no ONNX.

    >>> import tempfile, harmonium as hm
    >>> rbm = hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_features(rbm, f"{folder}/features.pt2")
    ...     program = torch.export.load(f"{folder}/features.pt2").module()
    >>> v = torch.eye(3)
    >>> torch.equal(program(v), rbm.hidden_given_visible(v))
    True
    """
    path = place(path)
    if not isinstance(checked_rbm("model", model).hidden, KINDS):
        kinds, got = ", ".join(kind.__name__ for kind in KINDS), type(model.hidden).__name__
        raise TypeError(f"model must be an RBM with hidden units of a type among {kinds}, got {got}.")
    if path.suffix not in FORMATS:
        raise ValueError(f"path must end in {' or '.join(FORMATS)}, got {str(path)!r}.")
    check_numbers(model)
    made = _onnx(model) if path.suffix == ".onnx" else _program(model)
    with replacing(path) as new:
        new.write_bytes(made)


def _traced(model: RBM) -> tuple[nn.Module, tuple[Tensor], dict[str, Any]]:
    """What the exporters of PyTorch take: the map, an example, and that its rows are any number."""
    example = torch.zeros(ROWS, model.visible.width, dtype=model.dtype, device=model.device)
    shapes = {"v": {0: torch.export.Dim("rows", min=1)}}
    return FeatureMap(model).eval(), (example,), shapes


def _program(model: RBM) -> bytes:
    features, example, shapes = _traced(model)
    with torch.no_grad():
        program = torch.export.export(features, example, dynamic_shapes=shapes)
    made = io.BytesIO()
    torch.export.save(program, made)
    return made.getvalue()


def _onnx(model: RBM) -> bytes:
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"writing .onnx needs the package {' and '.join(missing)}; .pt2 needs none.")
    features, example, shapes = _traced(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)  # of PyTorch's own
        program = torch.onnx.export(features, example, dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert program is not None
    return program.model_proto.SerializeToString()
