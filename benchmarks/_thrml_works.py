"""Gibbs sampling of an Ising grid through thrml."""

from __future__ import annotations

import sys

from _serve import Work, serve

try:
    import jax
    import jax.numpy as jnp
    from thrml import Block, SamplingSchedule, SpinNode, sample_states
    from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init
except ImportError:
    sys.exit(3)


def ising(side: int, *, chains: int, sweeps: int, coupling: float) -> Work:
    """Sweeps over an Ising grid with free edges; the value is the energy per site."""
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
    start, key = jax.random.split(jax.random.key(0))
    state = hinton_init(start, model, colours, (chains,))
    keys = jax.random.split(key, chains)
    schedule = SamplingSchedule(n_warmup=sweeps - 1, n_samples=1, steps_per_sample=1)
    run = jax.jit(jax.vmap(lambda s, k: sample_states(k, program, schedule, s, [], [Block(nodes)])))

    def work() -> float:
        spins = jax.block_until_ready(run(state, keys))[0]
        up = 2.0 * spins.reshape(chains, side, side).astype(jnp.float32) - 1.0
        total = (up[:, 1:] * up[:, :-1]).sum() + (up[:, :, 1:] * up[:, :, :-1]).sum()
        return float(-coupling * total) / chains / side**2

    return work


if __name__ == "__main__":
    serve({"ising": ising})
