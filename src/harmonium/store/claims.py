"""How large a model is said to be, before any memory is taken for it."""

from __future__ import annotations

import math
from typing import Any

SMALL = 2**20  # numbers that any model may have
COUNTS = ("trials", "seed", "states")  # whose size isn't one of the model by itself


def largest_claim(config: Any) -> int:
    """The most numbers in one tensor of the model that a config describes, as far as it says.

    >>> largest_claim({"type": "RBM", "visible": {"type": "Spin", "n": 8}, "hidden": {"n": 4}})
    32
    """
    if isinstance(config, list):
        return max(map(largest_claim, config), default=0)
    if not isinstance(config, dict):
        return 0
    sizes = [value for key, value in config.items() if _is_size(value) and key not in COUNTS]
    found = [*sizes, *map(largest_claim, config.values()), width(config)]
    if isinstance(config.get("shape"), list) and all(map(_is_size, config["shape"])):
        scopes = config.get("variables")
        found.append(math.prod(config["shape"]) * (len(scopes) if isinstance(scopes, list) else 1))
    sides = {
        side: width(config.get(side)) or _size(config.get(f"n_{side}")) for side in ("visible", "hidden")
    }
    if isinstance(config.get("hidden"), list):  # layer upon layer: each is coupled to the next
        layers = [sides["visible"], *map(width, config["hidden"])]
        found += [below * above for below, above in zip(layers, layers[1:], strict=False)]
    found.append(_coupled(config, list(sides.values())))
    found += [n * n for side, n in sides.items() if config.get("lateral") in ("all", side)]
    return max(found)


def _coupled(config: dict[str, Any], sides: list[int]) -> int:
    """The most numbers of what stands between two layers, a matrix unless it says otherwise."""
    said = config.get("couplings", config)
    if not isinstance(said, dict):
        return math.prod(sides)
    if "rank" in said:
        return max(sides) * _size(said["rank"])
    if isinstance(said.get("kernel"), list) and isinstance(said.get("shape"), list):
        return _size(said.get("filters")) * math.prod(map(_size, [*said["shape"][:1], *said["kernel"]]))
    return math.prod(sides)


def width(units: Any) -> int:
    """Columns of the units that a config describes, as far as it says."""
    if not isinstance(units, dict):
        return 0
    parts = units.get("parts")
    own = _size(units.get("n")) * max(1, _size(units.get("states")))
    return own + (sum(map(width, parts)) if isinstance(parts, list) else 0)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _size(value: Any) -> int:
    return value if _is_size(value) else 0
