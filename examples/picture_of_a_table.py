"""Learn scikit-learn's wines and draw the picture of the README: its columns, in data and samples."""

import sys
from pathlib import Path

from sklearn.datasets import load_wine

import harmonium as hm
from harmonium import plots

SHOWN = ["cultivar", "alcohol", "malic_acid", "magnesium", "flavanoids", "color_intensity", "hue", "proline"]


def main(target: str = "docs/pictures/wines.png") -> None:
    """Train, draw, and say how good the model is."""
    frame = load_wine(as_frame=True).frame
    frame["cultivar"] = frame.pop("target").map({0: "barolo", 1: "grignolino", 2: "barbera"})
    schema = hm.Schema.of(frame)
    model = hm.RBM(schema.units(), hm.Bernoulli(12), seed=0)
    model.schema = schema
    hm.fit(model, frame, steps=300, seed=0, progress=True)
    samples = hm.sample(model, 1000, seed=0)
    figure = plots.columns(frame[SHOWN], samples[SHOWN])
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_bytes(plots.png(figure))
    print(hm.log_likelihood(model, frame))


if __name__ == "__main__":
    main(*sys.argv[1:])
