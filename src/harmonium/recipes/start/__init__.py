"""Where a run starts: a fresh model meets its rows. A new start goes here.

initialisation  means, regressions, principal directions: `start` decides which
clouds          real columns whose rows lie in separate clouds
real_columns    columns far from zero, and widths without bound
"""
