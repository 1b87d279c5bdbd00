"""Models carried between libraries: parameters are copied, and free energies agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from harmonium.models import RBM
from harmonium.units import Bernoulli


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
    return bernoulli_rbm(weight.T, visible, hidden)


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


@torch.no_grad()
def bernoulli_rbm(weight: torch.Tensor, visible: torch.Tensor, hidden: torch.Tensor) -> RBM:
    """A machine of 0/1 units with copies of these parameters: (n_visible, n_hidden) and both biases."""
    model = RBM(Bernoulli(len(visible)), Bernoulli(len(hidden)), dtype=weight.dtype)
    for parameter, value in zip(
        (model.weight, model.visible.bias, model.hidden.bias), (weight, visible, hidden), strict=True
    ):
        parameter.copy_(value)
    return model


def _only_bernoulli(model: Any, what: str) -> None:
    if not (
        isinstance(model, RBM)
        and isinstance(model.visible, Bernoulli)
        and isinstance(model.hidden, Bernoulli)
    ):
        raise TypeError(f"model: {what} has 0/1 units on both sides, got {model!r}.")
