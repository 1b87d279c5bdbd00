"""Pictures for people: Matplotlib figures, made apart from pyplot, so that no screen is needed.

`tiles`, `side_by_side` and `filters` show rows and weights as pictures, `logos` weights to one-hot sites as
letters, `picture` a model at a glance, `columns` typed columns of a table beside those of samples; others are
charts. `png` and `svg` turn a figure into the content of a file.
"""

from harmonium.plots.charts import free_energies, learning_curve, moments, panels, singular_values
from harmonium.plots.glance import picture
from harmonium.plots.letters import logos
from harmonium.plots.style import png, svg
from harmonium.plots.surprise import surprising_cells
from harmonium.plots.tiles import filters, mosaic, side_by_side, tiles, tiles_png
from harmonium.plots.typed import columns

__all__ = [
    "columns",
    "filters",
    "free_energies",
    "learning_curve",
    "logos",
    "moments",
    "mosaic",
    "panels",
    "picture",
    "png",
    "side_by_side",
    "singular_values",
    "surprising_cells",
    "svg",
    "tiles",
    "tiles_png",
]
