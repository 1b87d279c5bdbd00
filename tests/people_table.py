"""A table of people, and a model for it."""

import numpy as np
import pandas as pd

NAN = float("nan")


def people(rows=200, seed=0):
    """A table of every kind of column, with gaps where they can be."""
    r = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "sex": r.choice(["f", "m"], rows),
            "smoker": r.random(rows) < 0.3,
            "answer": r.integers(1, 3, rows),
            "colour": r.choice(["red", "green", "blue"], rows),
            "grade": pd.Categorical(
                r.choice(["low", "mid", "high"], rows), ["low", "mid", "high", "top"], ordered=True
            ),
            "text": pd.array(r.choice(["a", "b", "c"], rows), dtype="string"),
            "kids": r.poisson(1.2, rows).astype(float),
            "right": r.binomial(10, 0.7, rows),
            "rooms": pd.array(r.integers(1, 6, rows), dtype="Int64"),
            "age": r.integers(18, 90, rows).astype("int16"),
            "income": np.round(np.exp(r.normal(10, 1, rows)), 2),
            "height": np.round(r.normal(1.7, 0.1, rows), 2).astype("float32"),
            "member": pd.array(r.random(rows) < 0.5, dtype="boolean"),
            "object": pd.Series(r.choice([3, 5, 9], rows), dtype=object),
            "here": "yes",
        }
    )
    for name, every in (("colour", 7), ("grade", 5), ("text", 6), ("kids", 4), ("rooms", 9), ("member", 8)):
        frame.loc[::every, name] = None
    return frame
