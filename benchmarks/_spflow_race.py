"""Tractable models of spflow: DATA OUT SECONDS SETTINGS -> mean log P of train, valid and test rows."""

import json
import sys
import time

import numpy as np

try:
    import torch
    from spflow.learn.gradient_descent import negative_log_likelihood_loss
    from spflow.meta import Scope
    from spflow.modules.leaves import Bernoulli
    from spflow.zoo.einet import Einet
    from spflow.zoo.hclt.learn import learn_hclt_binary
except ImportError:
    sys.exit(3)

PARTS = ("train", "valid", "test")
CHECKS = 20  # looks at the validation rows


def mean_log_probability(model, rows, piece: int = 1024) -> float:
    """Nats per row."""
    with torch.no_grad():
        return sum(float(model.log_likelihood(x).sum()) for x in rows.split(piece)) / len(rows)


def build(rows, settings: dict):
    """A model of the kind asked for, untrained."""
    if settings["model"] == "hclt":
        # init="random" makes transitions with one channel, under which the columns are independent
        return learn_hclt_binary(rows, num_hidden_cats=settings["states"], init="uniform")
    leaf = Bernoulli(
        scope=Scope(list(range(rows.shape[1]))),
        out_channels=settings["sums"],
        num_repetitions=settings["repetitions"],
    )
    return Einet(
        [leaf],
        num_sums=settings["sums"],
        num_leaves=settings["sums"],
        depth=settings["depth"],
        num_repetitions=settings["repetitions"],
        layer_type="einsum",
    )


def climb(x: dict, seconds: float, settings: dict) -> tuple[dict, int]:
    """Adam on batches of rows until the time is over; the best model by the validation rows."""
    model, batch = build(x["train"], settings), settings["batch"]
    optimiser = torch.optim.Adam(model.parameters(), lr=settings["rate"])
    best, found, steps, looks = -np.inf, {}, 0, 1
    while time.process_time() < seconds:
        for rows in x["train"][torch.randperm(len(x["train"]))].split(batch):
            optimiser.zero_grad()
            negative_log_likelihood_loss(model, rows).backward()
            optimiser.step()
            steps += 1
            over = time.process_time() >= seconds
            if over or time.process_time() > looks * seconds / CHECKS:
                looks += 1
                value = mean_log_probability(model, x["valid"])
                if value > best:
                    best, found = value, {k: p.clone() for k, p in model.state_dict().items()}
            for group in optimiser.param_groups:  # half constant, half falling
                group["lr"] = settings["rate"] * min(1.0, max(0.02, 2 - 2 * time.process_time() / seconds))
            if over:
                break
    model.load_state_dict(found)
    return {part: mean_log_probability(model, x[part]) for part in PARTS}, steps


def main(file: str, out: str, seconds: float, settings: dict) -> None:
    """Train and measure on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(settings["seed"])
    with np.load(file) as data:
        x = {part: torch.from_numpy(data[part]).float() for part in PARTS}
    found, steps = climb(x, seconds, settings)
    with open(out, "w", encoding="utf-8") as kept:
        json.dump(found | {"steps": steps, "cpu_seconds": time.process_time()}, kept)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), json.loads(sys.argv[4]))
