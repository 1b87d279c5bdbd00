"""report.html: one file, whole, safe, and with the figures that the run found."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import harmonium as hm
from harmonium.cli.describe import model_title, signed
from harmonium.cli.measure import SAMPLES, measure
from harmonium.cli.report import Run, report, summary, versions
from harmonium.data import Dataset, load

TRAINING = {"command": "harmonium fit x --out y", "steps": 7, "seconds": 1.5, "settings": {"batch_size": 32}}
RECORDS = [{"step": k, "train_log_likelihood": -9.0 + k, "singular_values": [1.0, 0.5]} for k in (1, 2)]
EVIL = '<script>alert("x")</script>'


def a_run(model, data, **changes):
    """A run as `harmonium fit` would tell about it."""
    told = {"records": RECORDS, "training": TRAINING, "warnings": ["the chains mix slowly <here>"], **changes}
    return Run(model, data, measure(model, data, seed=0, quiet=True), **told)


class Checker(HTMLParser):
    """Every tag closed in order; collects the texts and where attributes point to."""

    VOID = {"meta", "br", "img", "link", "input"}

    def __init__(self):
        super().__init__()
        self.open, self.links, self.texts, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href", "action")]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def bars():
    """A small run on pictures."""
    model = hm.RBM(hm.Bernoulli(16), hm.Bernoulli(4))
    return a_run(model, load("bars-and-stripes"))


def checked(page):
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


def test_the_page_is_one_file_that_loads_nothing(bars):
    page = report(bars)
    checker = checked(page)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in checker.links), checker.links
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    outside = set(re.findall(r"https?://[^\s\"'<]+", page)) - {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not outside
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page


def test_the_page_tells_what_was_found(bars):
    page = report(bars)
    said = " ".join(checked(page).texts)
    test, independent = bars.measured.test, bars.measured.independent_test
    for words in (signed(test.value), signed(independent), test.method, "30 for training", "batch_size"):
        assert words in said, words
    for title in (
        "Data and samples",
        "hidden units look for",
        "Learning",
        "Likelihood",
        "Moments",
        "Singular",
    ):
        assert title in said, title
    assert TRAINING["command"] in said and "the chains mix slowly <here>" in said
    for name, version in versions().items():
        assert name in said and version in said
    assert page.count("<svg") == page.count("</svg>") >= 6


def test_the_summary_is_one_sentence_with_the_numbers(bars):
    value, reference = bars.measured.test.value, bars.measured.independent_test
    assert summary(bars) == (
        f"RBM 16 × 4 Bernoulli, bars-and-stripes: test log-likelihood {signed(value)} nats per row (exact),"
        f" independent units {signed(reference)}: {'better' if value > reference else 'worse'} by"
        f" {abs(value - reference):.2f}."
    )


def test_what_is_measured_is_what_the_library_says(bars):
    rows = torch.from_numpy(load("bars-and-stripes").test).float()
    assert bars.measured.test.value == hm.log_likelihood(bars.model, rows).value
    assert bars.measured.samples.shape == (SAMPLES, 16)
    with torch.no_grad():
        free = bars.model.free_energy(rows).double().numpy()
    assert np.array_equal(bars.measured.free_energies["test rows"], free)


def test_names_from_files_cannot_put_anything_into_the_page():
    x = np.random.Generator(np.random.Philox(1)).integers(0, 2, (30, 3)).astype(np.uint8)
    data = Dataset(EVIL, x, x, x, "binary", columns=(EVIL, "b & c", '"d"'), notes=[f"{EVIL} was read."])
    run = a_run(
        hm.RBM(hm.Bernoulli(3), hm.Bernoulli(2)),
        data,
        training={**TRAINING, "command": EVIL, "settings": {EVIL: EVIL}},
        warnings=[EVIL],
    )
    page = report(run)
    assert "<script" not in page and "script" not in checked(page).tags
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "units, values",
    [
        (hm.Categorical(3, states=4), lambda u: np.floor(u * 4)),
        (hm.Gaussian(3), lambda u: u * 3 - 1),
        (hm.Poisson(3), lambda u: np.floor(u * 6)),
        (hm.Spin(3), lambda u: np.sign(u - 0.5)),
        (hm.Bernoulli(3), lambda u: u),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, hm.Units) else "",
)
def test_tables_of_every_type_have_a_report(units, values):
    x = values(np.random.Generator(np.random.Philox(1)).random((40, 3)))
    data = Dataset("a table", x, x[:10], x[10:], "real")
    model = hm.RBM(units, hm.Bernoulli(2))
    said = " ".join(checked(report(a_run(model, data, records=[]))).texts)
    assert model_title(model) in said and "Data and samples" in said
    drawn = "one draw was measured" in said
    assert drawn == isinstance(units, hm.Bernoulli)
    assert ("A number is a state of its column" in said) == isinstance(units, hm.Categorical)


def test_a_model_without_probabilities_is_told_apart():
    model = hm.RBM(hm.Gaussian(2), hm.Gaussian(2))
    with torch.no_grad():
        model.weight.fill_(5.0)
    x = np.random.Generator(np.random.Philox(1)).normal(size=(40, 2))
    run = a_run(model, Dataset("a table", x, x, x, "real"))
    assert "no probabilities" in summary(run)
    said = " ".join(checked(report(run)).texts)
    assert "may be infinite" in said and "Data and samples" not in said
