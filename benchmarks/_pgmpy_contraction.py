"""log Z of a grid through pgmpy: FILE (.npz with edges, tables, side) REPEATS -> JSON."""

import json
import sys
import time
import warnings

warnings.simplefilter("ignore")
try:
    import numpy as np
    from pgmpy.factors.discrete import DiscreteFactor
    from pgmpy.inference import VariableElimination
    from pgmpy.models import DiscreteMarkovNetwork
except ImportError:
    sys.exit(3)

with np.load(sys.argv[1]) as file:
    edges, tables = file["edges"], file["tables"]
states = tables.shape[1]
model = DiscreteMarkovNetwork()
model.add_edges_from([(f"x{a}", f"x{b}") for a, b in edges])
model.add_factors(
    *(
        DiscreteFactor([f"x{a}", f"x{b}"], [states, states], np.exp(t))
        for (a, b), t in zip(edges, tables, strict=True)
    )
)
seconds, cpu = [], []
for _ in range(int(sys.argv[2])):
    wall, busy = time.perf_counter(), time.process_time()
    # its fastest way: the unnormalised marginal of one variable, by opt_einsum; get_partition_function
    # multiplies all factors into one table over all variables
    answer = VariableElimination(model).query(["x0"], show_progress=False)
    seconds.append(time.perf_counter() - wall)
    cpu.append(time.process_time() - busy)
print(json.dumps({"seconds": seconds, "cpu": cpu, "log_z": float(np.log(answer.values.sum()))}))
