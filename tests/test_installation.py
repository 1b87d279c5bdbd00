"""What `harmonium doctor` and `hm.show_versions` say, and that the self-test can fail."""

import json
from dataclasses import replace

import pytest
import torch

import harmonium as hm
from harmonium import kernels
from harmonium.cli import main
from harmonium.diagnostics import installation


def test_doctor_finds_nothing_wrong_here_and_says_what_is_installed(capsys):
    assert main(["doctor", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["versions"]["harmonium"] == hm.__version__
    assert known["versions"]["torch"] == torch.__version__
    assert known["processor"]["path"] in ("matrix", "wide", "plain") and known["processor"]["reason"]
    assert known["threads"]["torch"] == torch.get_num_threads()
    assert [t["name"] for t in known["self_test"]] == ["draws", "product", "log Z"]


def test_doctor_is_readable_and_holds_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("HARMONIUM_PRODUCTS", "wide")
    monkeypatch.setattr(installation, "self_test", lambda: [])
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "HARMONIUM_PRODUCTS" in out and "wide: " in out and "numpy" in out


def wrong(function, change):
    return lambda *arguments, **options: change(function(*arguments, **options))


@pytest.mark.parametrize(
    ("where", "name", "change", "said"),
    [
        (kernels, "draw_spin", lambda x: -x, "draws of spin differ"),
        (kernels, "draw_categorical", lambda x: 1 - x, "draws of categories differ"),
        (kernels, "product", lambda x: x * 1.01, "a product of matrices is off"),
        (installation, "log_partition", lambda e: replace(e, value=0.0), "log Z of a ring"),
    ],
)
def test_a_wrong_number_is_status_1_and_one_sentence(capsys, monkeypatch, where, name, change, said):
    monkeypatch.setattr(where, name, wrong(getattr(where, name), change))
    assert main(["doctor"]) == 1
    captured = capsys.readouterr()
    assert "WRONG" in captured.out
    assert captured.err.startswith("harmonium: a self-test failed (") and said in captured.err
    assert captured.err.count("\n") == 1


def test_a_crash_in_the_self_test_is_reported_too(monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(kernels, "draw_bernoulli", broken)
    first = installation.self_test()[0]
    assert not first["passed"] and "RuntimeError: no such instruction" in first["sentence"]


def test_a_cache_that_cannot_be_kept_is_told(monkeypatch):
    from numba.core.caching import CompileResultCacheImpl

    def nowhere(self, function):
        raise RuntimeError("no locator available")

    monkeypatch.setattr(CompileResultCacheImpl, "__init__", nowhere)
    assert installation.cache()["folder"] is None
    assert "compiles anew" in dict(installation.in_words(installation.facts()))["compiled code"]
