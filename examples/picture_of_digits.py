"""Train an RBM on the bundled digits and draw the picture of the README: data, samples, hidden units."""

import sys
from pathlib import Path

import harmonium as hm
from harmonium import data, plots


def main(target: str = "docs/pictures/digits.png") -> None:
    """Train, draw, and say how good the model is."""
    digits = data.load("digits")
    rbm = hm.RBM(visible=hm.Bernoulli(64), hidden=hm.Bernoulli(128))
    hm.fit(rbm, digits.train, validation=digits.valid, seed=0, progress=True)
    samples = hm.sample(rbm, 100, seed=0).numpy()
    figure = plots.picture(digits.train, samples, rbm.weight.detach().numpy(), digits.shape)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_bytes(plots.png(figure))
    print(hm.log_likelihood(rbm, digits.test))


if __name__ == "__main__":
    main(*sys.argv[1:])
