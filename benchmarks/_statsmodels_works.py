"""What the Python with statsmodels does for `forecast`: the series that it brings, and its autoregression.

`python _statsmodels_works.py FILE` writes to FILE, for each series NAME: NAME/x, (length, columns), its
frames; NAME/lags; NAME/first, the number of those that are learned; NAME/log_p, log densities of the others.
"""

import sys

import numpy as np
from statsmodels.datasets import elnino, macrodata, sunspots
from statsmodels.tsa.api import VAR

TRAIN, LAGS = 0.7, {"economy": 2, "sunspots": 9, "sea": 12}


def series() -> dict[str, np.ndarray]:
    """Quarterly growth of the United States' economy, 1959 to 2009; yearly sunspots, 1700 to 2008, square
    roots; monthly temperature of the sea off Peru, 1950 to 2010.
    """
    economy = macrodata.load_pandas().data
    growth = 100.0 * np.diff(np.log(economy[["realgdp", "realcons", "realinv", "cpi", "m1"]]), axis=0)
    rates = np.diff(economy[["tbilrate", "unemp"]], axis=0)
    months = elnino.load_pandas().data.iloc[:, 1:].to_numpy(float).reshape(-1, 1)
    spots = sunspots.load_pandas().data[["SUNACTIVITY"]].to_numpy(float)
    return {"economy": np.hstack([growth, rates]), "sunspots": np.sqrt(spots), "sea": months}


def standardised(x: np.ndarray) -> np.ndarray:
    """In units of the frames to learn from."""
    train = x[: int(TRAIN * len(x))]
    return (x - train.mean(0)) / train.std(0)


def log_densities(x: np.ndarray, lags: int) -> np.ndarray:
    """Of the last frames, each given those before it, by the autoregression of the first ones."""
    first = int(TRAIN * len(x))
    past = np.hstack([x[lags - k : len(x) - k] for k in range(1, lags + 1)])
    if x.shape[1] == 1:  # VAR wants two columns; of one it is least squares
        design = np.hstack([np.ones((len(past), 1)), past])
        own, target = design[: first - lags], x[lags:first]
        coefficients = np.linalg.lstsq(own, target, rcond=None)[0]
        error = target - own @ coefficients
        covariance = error.T @ error / (len(own) - own.shape[1])
        mean = design @ coefficients
    else:
        fitted = VAR(x[:first]).fit(lags, trend="c")
        covariance = fitted.sigma_u
        mean = fitted.intercept + past @ np.vstack([c.T for c in fitted.coefs])
    error = (x[lags:] - mean)[first - lags :]
    scaled = np.linalg.solve(np.linalg.cholesky(covariance), error.T)
    log_det = np.linalg.slogdet(2.0 * np.pi * covariance)[1]
    return -0.5 * ((scaled**2).sum(0) + log_det)


if __name__ == "__main__":
    found = {}
    for name, x in series().items():
        x = standardised(x)
        found |= {f"{name}/x": x, f"{name}/lags": LAGS[name], f"{name}/first": int(TRAIN * len(x))}
        found |= {f"{name}/log_p": log_densities(x, LAGS[name])}
    np.savez(sys.argv[1], **found)
