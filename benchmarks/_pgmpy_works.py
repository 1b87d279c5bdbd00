"""log Z of a grid through pgmpy, asked in the fastest of its ways."""

from __future__ import annotations

import sys
import warnings

from _inputs import grid_tables
from _serve import Work, serve

warnings.simplefilter("ignore")
try:
    import numpy as np
    from pgmpy.factors.discrete import DiscreteFactor
    from pgmpy.inference import VariableElimination
    from pgmpy.models import DiscreteMarkovNetwork
except ImportError:
    sys.exit(3)


def contraction(side: int, states: int) -> Work:
    """The sum of the unnormalised marginal of one variable, by opt_einsum's greedy path.

    `get_partition_function` would multiply all factors into one table over all variables.
    """
    edges, tables = grid_tables(side, states)
    model = DiscreteMarkovNetwork()
    model.add_edges_from([(f"x{a}", f"x{b}") for a, b in edges])
    model.add_factors(
        *(
            DiscreteFactor([f"x{a}", f"x{b}"], [states, states], np.exp(t))
            for (a, b), t in zip(edges, tables, strict=True)
        )
    )

    def work() -> float:
        answer = VariableElimination(model).query(["x0"], show_progress=False)
        return float(np.log(answer.values.sum()))

    return work


if __name__ == "__main__":
    serve({"contraction": contraction})
