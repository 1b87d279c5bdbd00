"""`harmonium inspect`: what a model is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harmonium.cli import describe, screen
from harmonium.cli.folder import Saved, open_model


def run(path: Path) -> None:
    """Print a table about the model."""
    saved = open_model(path)
    rows = [*shape_of(saved), *story_of(saved.about), *spectrum(saved)]
    screen.table(str(saved.path), rows)


def shape_of(saved: Saved) -> list[tuple[str, str]]:
    """Units, weights and parameters."""
    model = saved.model
    layers = describe.layers_of(model)
    names = ["visible units"] + ["hidden units"] * len(layers)
    rows = [("model", describe.model_title(model))]
    rows += [(name, describe.layer(layer)) for name, layer in zip(names, layers, strict=False)]
    total = sum(p.numel() for p in model.parameters())
    shapes = ", ".join(f"{name} {' × '.join(map(str, p.shape))}" for name, p in model.named_parameters())
    rows.append(("parameters", f"{total:,} of {str(model.dtype).removeprefix('torch.')}: {shapes}"))
    reason = model.reason_not_normalizable()
    return [*rows, ("warning", reason)] if reason else rows


def story_of(about: dict[str, Any]) -> list[tuple[str, str]]:
    """What was written down when the model was trained."""
    rows = []
    if "data" in about:
        data = about["data"]
        rows.append(("learned from", f"{data['name']}, {data['rows']:,} rows of {data['width']} columns"))
    if "training" in about:
        training = about["training"]
        rows.append(("training", f"{training['steps']:,} updates in {training['seconds']:.0f} s"))
        rows.append(("command", training["command"]))
    if about.get("test"):
        test = about["test"]
        exact = test["low"] == test["high"]
        interval = "exact" if exact else f"95 % interval [{test['low']:.4f}, {test['high']:.4f}]"
        rows.append(
            ("test log-likelihood", f"{test['value']:.4f} nats per row ({interval}); {test['method']}")
        )
    if about.get("independent", {}).get("test") is not None:
        rows.append(("independent units", f"{about['independent']['test']:.4f} nats per row"))
    return rows


def spectrum(saved: Saved, most: int = 10) -> list[tuple[str, str]]:
    """The largest singular values of the weights."""
    weight = describe.weight_of(saved.model)
    if weight is None:
        return []
    values = torch.linalg.svdvals(weight.double())
    shown = ", ".join(f"{value:.3g}" for value in values[:most].tolist())
    more = f", … ({len(values)} in all)" if len(values) > most else ""
    return [("singular values", shown + more)]
