"""What JSON can hold."""

from __future__ import annotations

import math
from typing import Any


def plain(value: Any) -> Any:
    """The same value as JSON can hold it: null for a number that isn't finite, a list for a tuple.

    >>> plain({"stderr": float("nan"), "ends": (1.0, 2.0)})
    {'stderr': None, 'ends': [1.0, 2.0]}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
