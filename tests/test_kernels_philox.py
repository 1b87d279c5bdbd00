"""Uniforms at addresses: Philox against its published words, and the published map."""

from pathlib import Path

import numpy as np
import pytest
import torch

from harmonium import kernels
from harmonium.kernels import reference
from harmonium.random import Address
from kernel_fields import DTYPES, HERE

VECTORS = [  # Random123's known answers for philox4x32-10: counter, key, words
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def integers(text):
    return [int(word, 16) for word in text.split()]


def philox(counter, key):
    """An independent Philox4x32-10 on Python's integers."""
    (a, b, c, d), (k, l) = counter, key
    for _ in range(10):
        p, q = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = q >> 32 ^ b ^ k, q & 0xFFFFFFFF, p >> 32 ^ d ^ l, p & 0xFFFFFFFF
        k, l = (k + 0x9E3779B9) % 2**32, (l + 0xBB67AE85) % 2**32
    return [a, b, c, d]


def published_uniform(seed, purpose, step, chain, unit, double):
    """The draw at an address, from the map in docs/kernels.md."""

    def word(low):
        counter = [unit // 4, chain, step % 2**32, low << 31 | purpose << 16 | step >> 32]
        return philox(counter, [seed % 2**32, seed >> 32])[unit % 4]

    if double:
        return ((word(0) << 20 | word(1) >> 12) + 0.5) / 2**52
    return ((word(0) >> 9) + 0.5) / 2**23


@pytest.mark.parametrize(("counter", "key", "words"), VECTORS)
def test_philox_gives_the_published_words(counter, key, words):
    assert philox(integers(counter), integers(key)) == integers(words)
    tensors = [torch.tensor(c) for c in integers(counter)]
    assert [int(w) for w in reference.philox(tensors, tuple(integers(key)))] == integers(words)


def test_the_published_words_come_out_of_the_public_function():
    counter, key, words = (integers(text) for text in VECTORS[2])
    address = Address(
        seed=key[1] << 32 | key[0],
        purpose=counter[3] >> 16,
        step=(counter[3] & 0xFFFF) << 32 | counter[2],
        chain=counter[1],
        unit=4 * counter[0],
    )
    bits = kernels.uniform(address, (1, 4), torch.float64)[0] * 2**52
    assert [int(b) >> 20 for b in bits.tolist()] == words
    largest = Address(2**64 - 1, 2**15 - 1, step=2**48 - 1, chain=2**32 - 1, unit=2**34 - 4)
    bits = kernels.uniform(largest, (1, 4), torch.float64)[0] * 2**52
    assert [int(b) & 0xFFFFF for b in bits.tolist()] == [word >> 12 for word in integers(VECTORS[1][2])]


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniforms_follow_the_published_map(dtype):
    numbers = np.random.default_rng(1)
    for _ in range(20):
        seed, step = (int(numbers.integers(2**bits, dtype=np.uint64)) for bits in (63, 48))
        purpose, chain = int(numbers.integers(2**15)), int(numbers.integers(2**32 - 2))
        unit = 4 * int(numbers.integers(2**32 - 2))
        drawn = kernels.uniform(Address(seed, purpose, step, chain, unit), (2, 7), dtype)
        for (row, column), value in np.ndenumerate(drawn.numpy()):
            exact = published_uniform(seed, purpose, step, chain + row, unit + column, dtype == torch.float64)
            assert value == exact


def test_single_and_double_uniforms_agree():
    single, double = (kernels.uniform(HERE, (50, 70), dtype).double() for dtype in DTYPES)
    assert (single - double).abs().max() <= 2.0**-24


def test_the_published_map_runs_as_printed():
    page = (Path(__file__).parent.parent / "docs" / "kernels.md").read_text()
    blocks = page.split("```python\n")[1:]
    assert blocks
    for block in blocks:
        exec(block.split("```")[0], {})
