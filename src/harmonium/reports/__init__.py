"""Reports for people: one self-contained web page on a model and a table."""

from harmonium.reports.table import Report, report

__all__ = ["Report", "report"]
