"""`.uai` files: read, written back, and refused with the line."""

import math

import numpy as np
import pytest
import torch

from harmonium.models import MarkovRandomField

MARKOV = """MARKOV
3
2 2 3
3
1 0
2 0 1
2 1 2

2
 0.436 0.564

4
 0.128 0.872
 0.920 0.080

6
 0.210 0.333 0.457
 0.811 0.000 0.189
"""

BAYES = """BAYES
3
2 2 3
3
1 0
2 0 1
2 1 2

2
 0.436 0.564

4
 0.128 0.872
 0.920 0.080

6
 0.210 0.333 0.457
 0.811 0.000 0.189
"""


def write(tmp_path, text, name="problem.uai"):
    path = tmp_path / name
    path.write_text(text)
    return path


def tables():
    a = np.array([0.436, 0.564])
    ab = np.array([[0.128, 0.872], [0.920, 0.080]])
    bc = np.array([[0.210, 0.333, 0.457], [0.811, 0.0, 0.189]])
    return a, ab, bc


@pytest.mark.parametrize("text", [MARKOV, BAYES])
def test_a_file_is_read_with_the_last_variable_fastest(text, tmp_path):
    field = MarkovRandomField.from_uai(write(tmp_path, text))
    a, ab, bc = tables()
    joint = a[:, None, None] * ab[:, :, None] * bc
    assert field.cardinalities == (2, 2, 3)
    assert abs(float(field.log_partition()) - math.log(joint.sum())) < 1e-12
    assert torch.allclose(field.marginal((0, 2)), torch.from_numpy(joint.sum(1) / joint.sum()), atol=1e-12)
    assert any("zero" in note for note in field.notes)


def test_a_bayesian_network_is_normalised_and_its_evidence_has_its_probability(tmp_path):
    path = write(tmp_path, BAYES)
    assert abs(float(MarkovRandomField.from_uai(path).log_partition())) < 1e-12
    a, ab, bc = tables()
    p = (a[:, None, None] * ab[:, :, None] * bc)[:, 1, 2].sum()
    for evidence in ("2 1 1 2 2", "1 2 1 1 2 2\n", "1\n2 1 1 2 2", "2\n1 1\n2 2\n"):
        given = MarkovRandomField.from_uai(path, write(tmp_path, evidence, "problem.uai.evid"))
        assert abs(float(given.log_partition()) - math.log(p)) < 1e-12
        assert given.variables == (0,)
    for none in ("0", "1 0"):
        field = MarkovRandomField.from_uai(path, write(tmp_path, none, "none.evid"))
        assert field.variables == (0, 1, 2)


def test_layout_of_white_space_does_not_matter(tmp_path):
    one_line = MarkovRandomField.from_uai(write(tmp_path, " ".join(MARKOV.split())))
    lines = MarkovRandomField.from_uai(write(tmp_path, "\r\n\t".join(MARKOV.split())))
    assert float(one_line.log_partition()) == float(lines.log_partition())


@pytest.mark.parametrize("comment", ["# a, b and c", "// a 7", "/* two\nlines */"])
def test_comments_and_marks_of_the_encoding_are_passed_over(comment, tmp_path):
    lines = MARKOV.split("\n")
    for k in (0, 4, 5, 7, 12):
        lines[k] += "  " + comment
    text = comment + "\n" + "\n".join(lines)
    field = MarkovRandomField.from_uai(write(tmp_path, text))
    plain = MarkovRandomField.from_uai(write(tmp_path, MARKOV))
    assert float(field.log_partition()) == float(plain.log_partition())
    (tmp_path / "marked.uai").write_bytes(b"\xef\xbb\xbf" + MARKOV.encode())
    assert MarkovRandomField.from_uai(tmp_path / "marked.uai").cardinalities == (2, 2, 3)
    given = MarkovRandomField.from_uai(
        tmp_path / "marked.uai", write(tmp_path, f"{comment}\n1 2 {comment}\n 0")
    )
    assert given.variables == (0, 1)
    wrong = text.replace(" 0.920 0.080", " 0.920 x")
    line = wrong[: wrong.index("0.920 x")].count("\n") + 1
    with pytest.raises(ValueError, match=f"line {line}: expected potential"):
        MarkovRandomField.from_uai(write(tmp_path, wrong))


def test_fields_are_written_back_to_the_last_digit(tmp_path):
    rng = np.random.default_rng(0)
    factors = [
        ((), 0.3),
        ((2, 0), rng.normal(size=(4, 2))),
        ((1,), [0.1, -math.inf, 2]),
        ((0, 1, 2), rng.normal(size=(2, 3, 4))),
    ]
    field = MarkovRandomField([2, 3, 4], factors)
    field.to_uai(tmp_path / "out.uai")
    back = MarkovRandomField.from_uai(tmp_path / "out.uai")
    assert back.cardinalities == field.cardinalities
    assert abs(float(back.log_partition() - field.log_partition())) < 1e-12
    states = field.visible_space.states(torch.arange(24))
    assert torch.allclose(back.energy(states), field.energy(states), atol=1e-13)
    again = tmp_path / "again.uai"
    back.to_uai(again)
    third = MarkovRandomField.from_uai(again)
    assert torch.allclose(third.energy(states), back.energy(states), rtol=0, atol=1e-14)


def test_potentials_that_no_file_can_hold_are_refused(tmp_path):
    for log_potential in (800.0, -800.0):
        field = MarkovRandomField([2], [((0,), [0.0, log_potential])])
        with pytest.raises(ValueError, match="log-potentials must be between"):
            field.to_uai(tmp_path / "out.uai")


def changed(line, new):
    lines = MARKOV.split("\n")
    lines[line - 1] = new
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text, message",
    [
        (changed(1, "MARKVO"), "line 1: expected MARKOV or BAYES, got 'MARKVO'"),
        (changed(2, "three"), "line 2: expected a number of variables, got 'three'"),
        (changed(3, "2 0 3"), "line 3: expected the number of states of variable 1 of at least 1, got 0"),
        (changed(3, "2 2"), "line 5: expected the number of potentials|line"),
        (changed(6, "2 0 3"), "line 6: expected a variable from 0 to 2, got 3"),
        (changed(6, "2 1 1"), r"line 6: expected different variables in a factor, got \[1, 1\]"),
        (changed(9, "3"), r"line 9: expected 2 potentials for factor 0 over variables \[0\], got 3"),
        (changed(13, " 0.128 -0.872"), "line 13: expected potential, finite and at least 0, got '-0.872'"),
        (changed(13, " 0.128 nan"), "line 13: expected potential, finite and at least 0, got 'nan'"),
        (changed(14, " 0.920 x"), "line 14: expected potential, finite and at least 0, got 'x'"),
        (MARKOV + "7\n", "line 19: expected the end of the file after the last factor, got '7'"),
        ("\n".join(MARKOV.split("\n")[:17]), "line 17: the file ends where potential 4 of 6 was expected"),
        ("\n".join(MARKOV.split("\n")[:14]), "the file ends where the number of potentials of factor 2"),
        ("MARKOV\n3\n2 2", "line 3: the file ends where the number of states of variable 2 was expected"),
        ("", "line 1: the file ends where MARKOV or BAYES was expected"),
    ],
)
def test_malformed_files_are_refused_with_the_line(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        MarkovRandomField.from_uai(write(tmp_path, text))


@pytest.mark.parametrize(
    "text, message",
    [
        ("1 3 0", "line 1: expected a variable from 0 to 2, got 3"),
        ("1\n2 3", "line 2: expected a state of variable 2 from 0 to 2, got 3"),
        ("2\n0 1\n0 1", "line 3: variable 0 is observed twice"),
        ("2 0 1", "the file ends where a variable was expected"),
        ("2\n1 0 1\n2 0 1 1 0", "expected the evidence of one sample, got 2 of them"),
        ("1 0 1 5", "expected the end of the file after the last observation, got '5'"),
        ("one", "expected the number of observed variables, got 'one'"),
        ("", "the file ends where the number of observed variables was expected"),
    ],
)
def test_malformed_evidence_is_refused_with_the_line(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        MarkovRandomField.from_uai(write(tmp_path, MARKOV), write(tmp_path, text, "bad.evid"))


def test_missing_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="no-such.uai: no such file"):
        MarkovRandomField.from_uai(tmp_path / "no-such.uai")
    (tmp_path / "binary.uai").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="can't be read as text"):
        MarkovRandomField.from_uai(tmp_path / "binary.uai")
