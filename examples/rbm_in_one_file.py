"""The restricted Boltzmann machine in one file, to be read from top to bottom. It needs NumPy only.

An energy-based model turns an energy into a probability, p(x) = exp(-E(x)) / Z with Z = sum_x exp(-E(x)). A
restricted Boltzmann machine (Smolensky's harmonium, 1986) does so for 0/1 units of two kinds, visible v and
hidden h, with the energy

    E(v, h) = - a.v - b.h - v.W.h

Restricted means that no two units of one kind interact. Everything below follows from that.

    python rbm_in_one_file.py            learns bars and stripes in three ways, and measures each exactly
    python rbm_in_one_file.py FILE.png   also draws what it learned (with Matplotlib)

It is independent of the package harmonium, whose tests use it as a second opinion: there, each step is made
fast, general and safe; here, it is made plain. Everything is in float64, and every logarithm in nats.
"""

import sys
from typing import NamedTuple

import numpy as np


class RBM(NamedTuple):
    """The parameters; gradients, averages and updates have the same three parts."""

    weight: np.ndarray  # W, (visible, hidden)
    visible_bias: np.ndarray  # a, (visible,)
    hidden_bias: np.ndarray  # b, (hidden,)


def start(visible, hidden, rng):
    """Small random weights: equal hidden units would stay equal for ever."""
    return RBM(0.1 * rng.standard_normal((visible, hidden)), np.zeros(visible), np.zeros(hidden))


# ------------------------------------------------------------------------------------------------------------
# 1. The model. A batch of states has a row for each; `softplus` and `sigmoid` are the cumulant of a 0/1 unit,
#    log(1 + exp(x)), and its derivative, the unit's mean.
# ------------------------------------------------------------------------------------------------------------


def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow."""
    return np.exp(-softplus(-x))


def energy(rbm, v, h):
    """E(v, h) for each row."""
    return -v @ rbm.visible_bias - h @ rbm.hidden_bias - np.sum((v @ rbm.weight) * h, axis=1)


def free_energy(rbm, v):
    """F(v) = -log sum_h exp(-E(v, h)), so that P(v) = exp(-F(v)) / Z.

    Given v, exp(-E) is a product over hidden units, so its sum over the 2^hidden states is a product too.
    """
    return -v @ rbm.visible_bias - softplus(v @ rbm.weight + rbm.hidden_bias).sum(axis=1)


def hidden_given_visible(rbm, v):
    """P(h = 1 | v): given v, hidden units are independent."""
    return sigmoid(v @ rbm.weight + rbm.hidden_bias)


def visible_given_hidden(rbm, h):
    """P(v = 1 | h): given h, visible units are independent."""
    return sigmoid(h @ rbm.weight.T + rbm.visible_bias)


# ------------------------------------------------------------------------------------------------------------
# 2. The truth, by counting. For some 20 visible units all states fit in memory, and nothing needs estimating.
# ------------------------------------------------------------------------------------------------------------


def all_states(n):
    """The 2^n states of n units, (2^n, n)."""
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(float)


def log_partition(rbm):
    """The logarithm of Z = sum_v exp(-F(v)), by enumeration of the visible states."""
    return np.logaddexp.reduce(-free_energy(rbm, all_states(len(rbm.visible_bias))))


def log_likelihood(rbm, v):
    """For each row log P(v) = -F(v) - log Z."""
    return -free_energy(rbm, v) - log_partition(rbm)


# ------------------------------------------------------------------------------------------------------------
# 3. Sampling. Two layers, each independent given the other, are drawn in turn: block Gibbs sampling. Whatever
#    the chain starts from, it forgets, and ends up visiting each v as often as P(v) says.
# ------------------------------------------------------------------------------------------------------------


def draw(probability, rng):
    """0/1 states that are 1 with these probabilities."""
    return (rng.random(probability.shape) < probability).astype(float)


def gibbs(rbm, v, steps, rng):
    """Visible states after so many draws of hidden given visible, visible given hidden."""
    for _ in range(steps):
        h = draw(hidden_given_visible(rbm, v), rng)
        v = draw(visible_given_hidden(rbm, h), rng)
    return v


# ------------------------------------------------------------------------------------------------------------
# 4. Learning. The gradient of the mean log-likelihood has two phases,
#
#        mean over data of -dF(v)/dtheta   minus   mean over the model's own v of -dF(v)/dtheta:
#
#    make the data probable, and what the model dreams of improbable. The first is easy. For the second, three
#    answers to "where do the negative particles come from?" follow; learning itself doesn't care.
# ------------------------------------------------------------------------------------------------------------


def phase(rbm, v, share):
    """The average of -dF(v)/dtheta over rows v, each with its share (the shares sum to 1)."""
    h = hidden_given_visible(rbm, v)
    return RBM((v * share[:, None]).T @ h, share @ v, share @ h)


def equal_shares(v):
    """Every row counts alike."""
    return np.full(len(v), 1 / len(v))


def exact_negatives(rbm, data, chains, rng):
    """All visible states, with their probabilities: no noise, but 2^visible of them."""
    v = all_states(data.shape[1])
    return v, np.exp(log_likelihood(rbm, v))


def contrastive_divergence(rbm, data, chains, rng):
    """CD-1 (Hinton 2002): one step away from the data. Cheap and biased: it sees only where the data are."""
    v = gibbs(rbm, data, 1, rng)
    return v, equal_shares(v)


def persistent(rbm, data, chains, rng):
    """PCD (Younes 1989, Tieleman 2008): chains that go on from where the last update left them."""
    v = gibbs(rbm, chains, 5, rng)
    return v, equal_shares(v)


def gradient(rbm, data, negatives, share):
    """The gradient of the mean log-likelihood of the data, exact where the negatives are."""
    positive, negative = phase(rbm, data, equal_shares(data)), phase(rbm, negatives, share)
    return RBM(*(p - n for p, n in zip(positive, negative, strict=True)))


def train(rbm, data, negative_particles, steps, rate, rng):
    """Gradient ascent, the rate falling to nothing over the second half so that the noise averages out."""
    chains = draw(np.full((100, data.shape[1]), 0.5), rng)
    for step in range(steps):
        v, share = negative_particles(rbm, data, chains, rng)
        if negative_particles is persistent:
            chains = v
        now = rate * min(1, 2 - 2 * step / steps)
        rbm = RBM(*(x + now * g for x, g in zip(rbm, gradient(rbm, data, v, share), strict=True)))
    return rbm


# ------------------------------------------------------------------------------------------------------------
# 5. log Z where counting is out of reach: annealed importance sampling (Neal 2001). Between units that don't
#    interact, whose Z is known, and the model lies a path of models; particles walk along it, and the average
#    weight exp(F_before(v) - F_after(v)), multiplied up along the way, estimates the ratio of the Zs.
# ------------------------------------------------------------------------------------------------------------


def between(rbm, visible_bias, beta):
    """The model with the energy (1 - beta) E_0 + beta E, where E_0 = -visible_bias.v."""
    return RBM(beta * rbm.weight, (1 - beta) * visible_bias + beta * rbm.visible_bias, beta * rbm.hidden_bias)


def annealed_log_partition(rbm, visible_bias, temperatures, particles, rng):
    """An estimate of log Z and its standard error across the particles.

    The average weight is unbiased for Z, so its logarithm is low on average; and where no particle has found
    a mode, the standard error can't know. It is no interval.
    """
    v = draw(np.tile(sigmoid(visible_bias), (particles, 1)), rng)
    log_weight = np.full(particles, softplus(visible_bias).sum() + len(rbm.hidden_bias) * np.log(2))
    before = between(rbm, visible_bias, 0)
    for beta in np.linspace(0, 1, temperatures)[1:]:
        after = between(rbm, visible_bias, beta)
        log_weight += free_energy(before, v) - free_energy(after, v)
        v, before = gibbs(after, v, 1, rng), after
    log_mean = np.logaddexp.reduce(log_weight) - np.log(particles)
    return log_mean, np.exp(log_weight - log_mean).std(ddof=1) / np.sqrt(particles)


# ------------------------------------------------------------------------------------------------------------
# 6. An experiment whose best answer is known. Of the 512 pictures of 3 x 3 pixels, 14 are bars or stripes. No
#    model can give each of them more than 1/14, so no mean log-likelihood is above -ln 14 = -2.639.
# ------------------------------------------------------------------------------------------------------------


def bars_and_stripes(side):
    """The distinct pictures whose rows are each of one colour, or whose columns are, (patterns, side^2)."""
    lines = all_states(side)
    return np.unique(np.concatenate([np.repeat(lines, side, axis=1), np.tile(lines, (1, side))]), axis=0)


def show(pictures, side):
    """Pictures of 0/1 pixels side by side, as text."""
    rows = pictures.reshape(-1, side, side).transpose(1, 0, 2)
    return "\n".join("   ".join("".join(" #"[int(x)] * 2 for x in line) for line in row) for row in rows)


def main(picture=None, seed=0):
    """Learns in the three ways of section 4 and prints what came of each."""
    side = 3
    data = bars_and_stripes(side)
    best = -np.log(len(data))
    print(f"{len(data)} patterns of {side} x {side} pixels; no mean log-likelihood exceeds {best:.4f}\n")
    rng = np.random.Generator(np.random.Philox(seed))
    before = start(side**2, 16, rng)
    print(f"{'untrained':24} {log_likelihood(before, data).mean():8.4f}")
    for negatives in (contrastive_divergence, persistent, exact_negatives):
        rbm = train(before, data, negatives, steps=6000, rate=0.1, rng=rng)
        print(f"{negatives.__name__:24} {log_likelihood(rbm, data).mean():8.4f}")
    exact = log_partition(rbm)
    value, error = annealed_log_partition(rbm, np.zeros(side**2), temperatures=1000, particles=500, rng=rng)
    print(f"\nlog Z of the last: {exact:.4f} by counting, {value:.4f} +- {error:.4f} by annealing")
    samples = gibbs(rbm, draw(np.full((10, side**2), 0.5), rng), 1000, rng)
    print(f"\nten samples of the last, each after 1000 steps from noise:\n\n{show(samples, side)}")
    if picture:
        draw_weights(rbm, side, picture)


def draw_weights(rbm, side, path):
    """Saves the weights of each hidden unit as a picture: red pixels it likes, blue ones it doesn't."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.4), layout="constrained")
    limit = np.abs(rbm.weight).max()
    for axes, unit in zip(figure.subplots(2, 8).flat, rbm.weight.T, strict=True):
        axes.imshow(unit.reshape(side, side), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_axis_off()
    figure.savefig(path, dpi=150)
    print(f"\nweights of the hidden units: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
