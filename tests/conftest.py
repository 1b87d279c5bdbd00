"""What test files share: threads, pictures without a screen, checked signatures, the command line."""

import gc
import os
import signal
import sys

import pytest

import typecheck

os.environ.setdefault("MPLBACKEND", "Agg")

# Workers share the processors. This comes before torch is imported, which reads it once; a test that is
# about threads sets their number itself. Whoever starts the workers doesn't set it: they would inherit it.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max(1, share)))
# A test of two threads beside another worker would wait for the second in a loop, thirty times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# The mathematics is checked against its signatures at every call. The ground is left out: its kernels are
# compiled, and its functions run some thousand times per test.
CHECKED = ("units", "models", "sampling", "likelihood", "diagnostics", "learning")
typecheck.install([f"harmonium.{floor}" for floor in CHECKED])


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """A million objects live from here to the end: looking through them for garbage, again and again, would
    take a third of the time of the collection, and half a second now and then afterwards.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def ctrl_c_counts():
    """Whoever starts tests in the background has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def compiled_draws(monkeypatch):
    """Draws are made by compiled loops at once: the first few would come from the reference otherwise."""
    draws = sys.modules.get("harmonium.kernels.draws")
    if draws is not None:
        monkeypatch.setattr(draws, "FEW", -1)


@pytest.fixture
def command(capsys):
    """Runs a command of the command line and returns (exit status, stdout, stderr)."""
    from harmonium.cli import main

    def run(*arguments):
        status = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def refused(command):
    """Runs a command that must be refused: status 2 and one sentence on stderr, which is returned."""

    def run(*arguments):
        status, out, err = command(*arguments)
        assert status == 2, (status, out, err)
        assert out == "" and "Traceback" not in err
        assert err.startswith("harmonium: ") and err.endswith(".\n") and err.count("\n") == 1, err
        return err

    return run


@pytest.fixture
def no_report(monkeypatch):
    """For tests of commands that look at anything but the report, which takes longest."""
    from harmonium.cli import finish

    monkeypatch.setattr(finish, "report", lambda told: "a report")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """The folder of a small run of `harmonium fit` on bars and stripes."""
    from harmonium.cli import main

    out = tmp_path_factory.mktemp("runs") / "bars"
    assert main(["fit", "bars-and-stripes", "--out", str(out), "--hidden", "8", "--steps", "40", "-q"]) == 0
    return out


COMPILING = "test_targets.py", "test_matrix_units.py"


def pytest_collection_modifyitems(items):
    """The tests that take a minute each come first, so that no worker is left with one at the end.

    The emulated units are second: by then another worker has put loops into the cache that they need too.
    """
    place = {name: k for k, name in enumerate(COMPILING)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
