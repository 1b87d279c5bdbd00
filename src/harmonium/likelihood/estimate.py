"""A number comes with its error."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """An estimated number with its uncertainty, in nats unless said otherwise.

    Attributes:
        value: the estimate.
        stderr: its standard error; 0 when exact.
        low, high: a 95 % interval, not always symmetric and never narrower than the stderr suggests.
        method: how it was found, in words ("exact, 2^16 hidden states", …).
        ess: effective sample size behind it; inf when exact.
        warnings: what a careful reader should know, empty when nothing is suspicious.
        details: further figures of the method by name (numbers, or short lists of numbers).
    """

    value: float
    stderr: float
    low: float
    high: float
    method: str
    ess: float = float("inf")
    warnings: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.stderr == 0.0 and self.low == self.high:
            return f"{self.value:.4f} ({self.method})"
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}] ({self.method})"

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON (infinities become None)."""
        fields = asdict(self)
        fields["warnings"] = list(self.warnings)
        fields["ess"] = None if self.ess == float("inf") else self.ess
        return fields
