"""The Ising grid through thrml: SIDE CHAINS SWEEPS COUPLING REPEATS -> JSON."""

import json
import sys
import time

try:
    import jax
    import jax.numpy as jnp
    from thrml import Block, SamplingSchedule, SpinNode, sample_states
    from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init
except ImportError:
    sys.exit(3)

side, chains, sweeps, repeats = (int(a) for a in (*sys.argv[1:4], sys.argv[5]))
coupling = float(sys.argv[4])

started = time.perf_counter()
grid = [[SpinNode() for _ in range(side)] for _ in range(side)]
nodes = [node for row in grid for node in row]
edges = [(grid[i][j], grid[i][j + 1]) for i in range(side) for j in range(side - 1)]
edges += [(grid[i][j], grid[i + 1][j]) for i in range(side - 1) for j in range(side)]
model = IsingEBM(nodes, edges, jnp.zeros(len(nodes)), jnp.full(len(edges), coupling), jnp.array(1.0))
colours = [
    Block([grid[i][j] for i in range(side) for j in range(side) if (i + j) % 2 == colour])
    for colour in (0, 1)
]
program = IsingSamplingProgram(model, colours, [])
built = time.perf_counter() - started

start, key = jax.random.split(jax.random.key(0))
state = hinton_init(start, model, colours, (chains,))
keys = jax.random.split(key, chains)
schedule = SamplingSchedule(n_warmup=sweeps - 1, n_samples=1, steps_per_sample=1)
run = jax.jit(jax.vmap(lambda s, k: sample_states(k, program, schedule, s, [], [Block(nodes)])))
jax.block_until_ready(run(state, keys))  # compiles
seconds, cpu = [], []
for _ in range(repeats):
    wall, busy = time.perf_counter(), time.process_time()
    spins = jax.block_until_ready(run(state, keys))[0]
    seconds.append(time.perf_counter() - wall)
    cpu.append(time.process_time() - busy)
up = 2.0 * spins.reshape(chains, side, side).astype(jnp.float32) - 1.0
energy = -coupling * ((up[:, 1:] * up[:, :-1]).sum() + (up[:, :, 1:] * up[:, :, :-1]).sum())
print(
    json.dumps({"build": built, "seconds": seconds, "cpu": cpu, "energy": float(energy) / chains / side**2})
)
