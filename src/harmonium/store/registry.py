"""From a config back to units and models: {"type": name of the class, then what its constructor takes}."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from harmonium import couplings, models, units


def known_types(extra: Iterable[type[nn.Module]] = ()) -> dict[str, type[nn.Module]]:
    """Every class that a config may name: harmonium's units, couplings and models, and `extra`."""
    public = [getattr(home, name) for home in (units, couplings, models) for name in home.__all__]
    classes = [c for c in [*public, *extra] if isinstance(c, type) and issubclass(c, nn.Module)]
    return {c.__name__: c for c in classes}


def build(config: Any, extra: Iterable[type[nn.Module]] = ()) -> nn.Module:
    """The units or model that a config describes; configs inside of it are built first.

    A class may define a class method `from_config(config)`; otherwise its constructor is called with what the
    config holds by name, except that `parts` are given one after another, as `Mixed` takes them.

    Raises:
        ValueError: no config, or one of an unknown type, or one that its class refuses.

    >>> build({"type": "Mixed", "parts": [{"type": "Spin", "n": 2}, {"type": "Gaussian", "n": 1}]}).width
    3
    """
    return _build(config, known_types(extra))


def _build(config: Any, types: dict[str, type[nn.Module]]) -> nn.Module:
    if not isinstance(config, dict) or not isinstance(config.get("type"), str):
        raise ValueError("what kind of model it is can't be told from it.")
    name = config["type"]
    if name not in types:
        raise ValueError(f"unknown type {name!r}; known are {', '.join(sorted(types))}.")
    cls = types[name]
    if hasattr(cls, "from_config"):
        try:
            return cls.from_config(config)
        except (LookupError, TypeError, RuntimeError, AttributeError) as error:
            raise ValueError(f"{name} can't be built from its description: {_words(error)}.") from error
    arguments = {key: _value(value, types) for key, value in config.items() if key != "type"}
    parts = arguments.pop("parts", [])
    try:
        return cls(*parts, **arguments)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise ValueError(f"{name} can't be built from its description: {_words(error)}.") from error


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _value(value: Any, types: dict[str, type[nn.Module]]) -> Any:
    if isinstance(value, dict) and "type" in value:
        return _build(value, types)
    if isinstance(value, list):
        return [_value(item, types) for item in value]
    return value
