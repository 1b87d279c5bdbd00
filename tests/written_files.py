"""Files of rows, and what is said of one that is refused."""

import h5py
import numpy as np
import pandas as pd
import pytest

from harmonium import data

ROWS = np.arange(60.0).reshape(20, 3) / 7


def write(path, x):
    """Writes one array as the kind of file that the path ends in."""
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(np.shape(x)[1])]) if np.ndim(x) == 2 else None
    match path.suffix:
        case ".npy":
            np.save(path, x)
        case ".npz":
            np.savez(path, anything=x)
        case ".csv":
            frame.to_csv(path, index=False)
        case ".parquet":
            frame.to_parquet(path)
        case ".h5":
            with h5py.File(path, "w") as file:
                file["anything"] = x
    return path


def refusal(call, *arguments, **options):
    """The sentence of the DataError, checked to be one sentence."""
    with pytest.raises(data.DataError) as error:
        call(*arguments, **options)
    sentence = str(error.value)
    assert isinstance(error.value, ValueError)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence
