"""Each check lets right values pass unchanged and refuses wrong ones by argument and value."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from harmonium import checks

NAN = float("nan")

RIGHT = [
    (checks.positive_integer, 3, 3),
    (checks.positive_integer, np.int64(3), 3),
    (checks.seed, 2**64 - 1, 2**64 - 1),
    (checks.positive, 1e-300, 1e-300),
    (checks.positive, np.float32(0.5), 0.5),
    (checks.positive, torch.tensor(2.0), 2.0),
    (checks.fraction, 0, 0.0),
    (checks.fraction, 1, 1.0),
    (checks.number, -7, -7.0),
]

WRONG = [
    (checks.positive_integer, 0, ValueError, "must be an integer of at least 1, got 0."),
    (checks.positive_integer, 2.0, TypeError, "must be an integer of at least 1, got 2.0."),
    (checks.positive_integer, True, TypeError, "must be an integer of at least 1, got True."),
    (checks.positive_integer, "3", TypeError, "must be an integer of at least 1, got '3'."),
    (checks.positive_integer, None, TypeError, "must be an integer of at least 1, got None."),
    (checks.seed, -1, ValueError, "must be an integer from 0 to 18446744073709551615, got -1."),
    (checks.seed, 2**64, ValueError, "from 0 to 18446744073709551615, got 18446744073709551616."),
    (checks.positive, 0.0, ValueError, "must be a finite number above 0, got 0."),
    (checks.positive, math.inf, ValueError, "must be a finite number above 0, got inf."),
    (checks.positive, NAN, ValueError, "must be a finite number above 0, got nan."),
    (checks.positive, "1", TypeError, "must be a finite number above 0, got '1'."),
    (checks.positive, [1.0], TypeError, "must be a finite number above 0, got [1.0]."),
    (checks.positive, np.ones((2, 3)), TypeError, "got ndarray of shape (2, 3) and type float64."),
    (checks.fraction, 1.5, ValueError, "must be a number from 0 to 1, got 1.5."),
    (checks.fraction, True, TypeError, "must be a number from 0 to 1, got True."),
    (checks.number, math.inf, ValueError, "must be a finite number, got inf."),
]


@pytest.mark.parametrize(("check", "value", "result"), RIGHT)
def test_right_values_pass_in_the_plain_type(check, value, result):
    passed = check("x", value)
    assert passed == result
    assert type(passed) is type(result)


@pytest.mark.parametrize(("check", "value", "kind", "words"), WRONG)
def test_wrong_values_are_named(check, value, kind, words):
    with pytest.raises(kind) as error:
        check("the_argument", value)
    sentence = str(error.value)
    assert sentence.startswith("the_argument must be")
    assert words in sentence
    assert "\n" not in sentence


def test_strict_bounds_exclude_the_ends():
    assert checks.number("x", 0.5, 0, 1, strict=True) == 0.5
    for end in (0, 1):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            checks.number("x", end, 0, 1, strict=True)


def test_one_of_lists_the_options():
    assert checks.one_of("method", "ais", ("exact", "ais")) == "ais"
    with pytest.raises(ValueError, match=r"^method must be 'a', 'b' or 'c', got 'd'\.$"):
        checks.one_of("method", "d", ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"^method must be 'a', got 'd'\.$"):
        checks.one_of("method", "d", iter(["a"]))


def test_matrix_wants_two_dimensions_and_the_width():
    x = torch.zeros(4, 3)
    assert checks.matrix("v", x) is x
    assert checks.matrix("v", x, width=3) is x
    assert checks.matrix("v", x[:0], width=3).shape == (0, 3)
    with pytest.raises(
        ValueError, match=r"^v must be a tensor of shape \(rows, 5\), got one of shape \(4, 3\)\.$"
    ):
        checks.matrix("v", x, width=5)
    for wrong in (torch.zeros(3), torch.zeros(1, 1, 3), torch.zeros(3, 0), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="v must be a tensor of shape"):
            checks.matrix("v", wrong)
    with pytest.raises(TypeError, match="got ndarray of shape"):
        checks.matrix("v", np.zeros((4, 3)))


def test_checks_come_without_torch():
    code = "import sys; from harmonium import checks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
