"""An RBM of features beside a class label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from harmonium import checks
from harmonium.models.objective import Objective
from harmonium.models.rbm import RBM
from harmonium.units import Categorical, Units
from harmonium.units.base import layer_of_units
from harmonium.units.mixed import side_by_side

JOINT_SHARE = 0.01  # of log P(x, y) in the hybrid objective
TOGETHER = 2**22  # cells of completed rows, looked at together


class LabelledRBM(RBM):
    """E(x, y, h) = U(x) - a·x - d·y + U(h) - b·h - (xᵀW + yᵀR) h over features x of any units, a one-hot
    label y and hidden units h (Larochelle & Bengio 2008).

    It is an RBM whose visible rows are [x | y], and all that an RBM answers holds for it. The class of a row
    is exact, a sum over the classes in which Z cancels:

        P(y | x) = exp(-F(x, y)) / Σ_y' exp(-F(x, y')).

    `hm.fit(model, model.rows(X, labels))` learns by its objective; rows without a label, NaN, teach it what
    features look like. Samples of a class come from `hm.sample(model, n, given=model.rows(None, label))`.

    Args:
        visible: the units of the features.
        classes: how many, from 2; or their names.
        hidden: the hidden units.
        objective: "generative" for log P(x, y), "discriminative" for log P(y | x), "hybrid" for the second
            and a hundredth of the first.
        dtype, device, seed: as of `RBM`.

    Attributes:
        classes: names of the classes, 0, 1, … where only their number was given.
        label: columns of the label in a visible state.

    >>> import harmonium as hm
    >>> model = LabelledRBM(hm.Bernoulli(4), ["cat", "dog"], hm.Bernoulli(3))
    >>> model.label_given_visible(torch.zeros(1, 4)).shape
    torch.Size([1, 2])
    >>> hm.sample(model, 2, given=model.rows(None, "dog")).shape
    torch.Size([2, 6])
    """

    def __init__(  # noqa: PLR0913  # the shape of the machine and where it lives
        self,
        visible: Units,
        classes: Any,
        hidden: Units,
        *,
        objective: str = "hybrid",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        visible = layer_of_units("visible", visible)
        names = _names(classes)
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"classes must be two or more, each once, got {classes!r}.")
        self.kind = checks.one_of("objective", objective, ["generative", "discriminative", "hybrid"])
        whole = side_by_side(visible, Categorical(1, len(names)))
        super().__init__(whole, hidden, dtype=dtype, device=device, seed=seed)
        self.classes = names
        self.label = slice(visible.width, visible.width + len(names))

    @property
    def objective(self) -> Objective | None:
        """log P(y | x), or log P(x, y), or both."""
        if self.kind == "generative":
            return None
        return Objective(slice(0, self.label.start), JOINT_SHARE if self.kind == "hybrid" else 0.0)

    def rows(self, X: Any, labels: Any) -> Tensor:
        """Visible states [x | y] from features and labels, (rows, n_visible).

        Args:
            X: states of the features, (rows, columns), NaN where unknown; None where all are.
            labels: names of classes, one for each row or one for all; NaN or None where unknown.

        Raises:
            ValueError: an unknown class, or another number of labels than rows.
        """
        one = isinstance(labels, str) or not hasattr(labels, "__len__")
        names = [labels] if one else list(labels)
        y = torch.stack([self._one_hot(name) for name in names])
        width = self.label.start
        x = y.new_full((len(y), width), torch.nan) if X is None else torch.as_tensor(X, dtype=y.dtype)
        if x.ndim != 2 or x.shape[1] != width or len(y) not in (1, len(x)):
            raise ValueError(
                f"X must have {width} columns and a row for each of {len(y)} labels, got {tuple(x.shape)}."
            )
        return torch.cat([x, y.expand(len(x), -1)], 1)

    def _one_hot(self, name: Any) -> Tensor:
        name = name.item() if hasattr(name, "item") else name
        if name is None or name != name:
            return torch.full((len(self.classes),), torch.nan)
        if name not in self.classes:
            raise ValueError(f"labels: unknown class {name!r}; they are {self.classes}.")
        return torch.eye(len(self.classes))[self.classes.index(name)]

    @torch.no_grad()
    def log_label_given_visible(self, x: Any) -> Tensor:
        """log P(y | x) of every class, (rows, classes), nats, of features, (rows, columns), or of whole rows,
        whose label doesn't matter.
        """
        x = torch.as_tensor(x, dtype=self.dtype, device=self.device)
        if x.ndim != 2 or x.shape[1] not in (self.label.start, self.visible.width):
            raise ValueError(f"x: expected shape (batch, {self.label.start}), got {tuple(x.shape)}.")
        labels = torch.eye(len(self.classes), dtype=self.dtype, device=self.device)
        found = []
        for part in x[:, : self.label.start].split(max(1, TOGETHER // (len(labels) * self.visible.width))):
            pairs = part.repeat_interleave(len(labels), 0), labels.repeat(len(part), 1)
            energies = self.free_energy(torch.cat(pairs, 1))
            found.append(torch.log_softmax(-energies.view(len(part), -1), 1))
        return torch.cat(found)

    def label_given_visible(self, x: Any) -> Tensor:
        """P(y | x) of every class, (rows, classes); arguments as of `log_label_given_visible`."""
        return self.log_label_given_visible(x).exp()

    def classify(self, x: Any) -> list[Any]:
        """The most probable class of every row, by name."""
        return [self.classes[k] for k in self.log_label_given_visible(x).argmax(1).tolist()]

    def config(self) -> dict[str, Any]:
        """The types and sizes of all layers, the classes and the objective."""
        return {
            "type": type(self).__name__,
            "visible": side_by_side(*self.visible.parts_alone()[:-1]).config(),
            "classes": self.classes,
            "hidden": self.hidden.config(),
            "objective": self.kind,
        }


def _names(classes: Any) -> list[Any]:
    """Those given, or the numbers from 0 on."""
    if isinstance(classes, (str, bytes)) or not isinstance(classes, Iterable):
        number = checks.positive_integer("classes", classes)
        with checks.room("classes", number):
            return list(range(number))
    return list(classes)
