"""A long run of small updates: does memory stay flat, do files stay bounded, do the chains stay right?

    python -m benchmarks.soak --updates 10000000

An RBM of 4 and 3 units learns with 512 persistent chains, records and checkpoints as any run of `hm.fit`. At
the end the chains, moved on at the weights reached, are held against P(v) summed over all states (chi-square
over the 16 visible states).
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch

import harmonium as hm
from harmonium.learning import PersistentChains, Update
from harmonium.sampling import Chains

STAGES, CHAINS, MOVES = 10, 512, 200
ROWS = torch.tensor([[0.0, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 0, 1]]).repeat(40, 1)


class Watch:
    """A callback that notes, at so many moments, the clock, the memory held, and the size of the files."""

    def __init__(self, updates: int, folder: Path) -> None:
        self.every, self.folder = max(1, updates // STAGES), folder
        self.before = time.process_time()
        print(
            "| update | µs of processor time each | MiB resident | files, bytes |\n|---|---|---|---|",
            flush=True,
        )

    def __call__(self, update: Update) -> None:
        if update.step % self.every == 0:
            now = time.process_time()
            spent, self.before = 1e6 * (now - self.before) / self.every, now
            size = sum(p.stat().st_size for p in self.folder.iterdir())
            print(f"| {update.step:,} | {spent:.0f} | {resident():.1f} | {size:,} |", flush=True)


def resident() -> float:
    """MiB of memory that this process holds now, where the system tells; otherwise the most it has held."""
    try:
        text = Path("/proc/self/statm").read_text().split()
        return int(text[1]) * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@torch.no_grad()
def chi_square(rbm: hm.RBM, negatives: PersistentChains, step: int) -> float:
    """How often chains that are right would be as far from P(v) as these."""
    from scipy.stats import chi2

    states = rbm.visible.states(torch.arange(16)).to(rbm.weight)
    p = torch.softmax(-rbm.free_energy(states).double(), 0)
    kinds = torch.tensor([1.0, 2.0, 4.0, 8.0])
    # chains that know their modes only would stay there, however right their moves: they begin at exact draws
    assert negatives.chains is not None
    start = hm.sample(rbm, negatives.n, seed=step)
    negatives.chains = Chains(rbm.state_of(start), negatives.chains.address)
    for k in range(MOVES):
        v = negatives.draw(rbm, None, step + k).v  # type: ignore[arg-type]  # chains that go on need no data
    counts = torch.bincount((v @ kinds).long(), minlength=16)
    expected = torch.zeros(16, dtype=torch.float64).index_add_(0, (states @ kinds).long(), p) * len(v)
    rare = expected < 5
    expected, counts = (torch.cat([x[~rare], x[rare].sum()[None]]).double() for x in (expected, counts))
    used = expected > 0
    statistic = float(((counts - expected) ** 2 / expected.clamp(min=1e-12))[used].sum())
    return float(chi2.sf(statistic, int(used.sum()) - 1))


def main(arguments: list[str] | None = None) -> None:
    """Make the updates, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--updates", type=int, default=100_000)
    chosen = parser.parse_args([] if arguments is None else arguments)
    torch.set_num_threads(1)
    rbm, negatives = hm.RBM(hm.Bernoulli(4), hm.Bernoulli(3)), PersistentChains(CHAINS)
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch(chosen.updates, Path(folder))
        history = hm.fit(
            rbm,
            ROWS,
            steps=chosen.updates,
            negatives=negatives,
            batch_size=64,
            rules=(),
            callbacks=[watch],
            checkpoint=Path(folder) / "c.safetensors",
            progress=False,
        )
    assert all(bool(p.isfinite().all()) for p in rbm.parameters())
    p = chi_square(rbm, negatives, chosen.updates)
    address = negatives.chains.address.step if negatives.chains else 0
    print(
        f"\n{chosen.updates:,} updates, {len(history.records)} records; chains at step {address:,} of 2^48; "
        f"chi-square of {CHAINS} chains against P(v): P = {p:.3f}"
    )
    if p < 1e-6:
        raise SystemExit("the chains are not where the model is")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
