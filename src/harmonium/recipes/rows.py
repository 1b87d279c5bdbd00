"""Rows as recipes take them; the intake itself is that of all doors."""

from harmonium.models.intake import Rows, rows_of

__all__ = ["Rows", "rows_of"]
