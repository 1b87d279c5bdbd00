"""Names for the shapes that appear in signatures: read by people, checked by the tests.

A shape is written once per function: the same word stands for the same length in every argument, so that
`def energy(self, v: Visible, h: Hidden) -> PerRow` says that v, h and the result have equally many rows.
"""

from jaxtyping import Float
from torch import Tensor

Matrix = Float[Tensor, "rows columns"]
Rows = Float[Tensor, "rows units"]
"""States or fields of one layer, a row for each chain or data point."""
Visible = Float[Tensor, "rows visible"]
Hidden = Float[Tensor, "rows hidden"]
Weight = Float[Tensor, "visible hidden"]
PerRow = Float[Tensor, " rows"]
"""One number for each row, such as an energy in nats."""
PerUnit = Float[Tensor, " units"]
"""One number for each unit, such as a bias."""
Scalar = Float[Tensor, ""]

__all__ = ["Hidden", "Matrix", "PerRow", "PerUnit", "Rows", "Scalar", "Tensor", "Visible", "Weight"]
