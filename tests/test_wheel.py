"""The wheel: it holds the whole package, works outside the repository, and comes out the same each time."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import distributions


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source archive, in the order of their names."""
    return distributions.build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def wheel(built):
    return built[0]


def test_the_same_files_make_the_same_bytes_elsewhere_and_later(built, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(distributions.date()))
    before = os.umask(0o077)
    try:
        again = distributions.build(tmp_path)
    finally:
        os.umask(before)
    assert [p.name for p in again] == [p.name for p in built] and len(built) == 2
    assert [distributions.digest(p) for p in again] == [distributions.digest(p) for p in built]
    assert distributions.normal(built[1].read_bytes(), 1_700_000_000) != built[1].read_bytes()


def test_a_wheel_holds_every_file_of_the_package_and_the_command(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    held = {Path(name) for name in names if ".dist-info/" not in name}
    assert held == distributions.package_files() and Path("harmonium/py.typed") in held
    scripts = next(name for name in names if name.endswith("entry_points.txt"))
    assert "harmonium = harmonium.cli:main" in zipfile.ZipFile(wheel).read(scripts).decode()


def test_a_wheel_works_outside_the_repository(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    # nothing is compiled for a folder that is gone soon after
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "HARMONIUM_PRODUCTS": "plain"}
    code = (
        "import runpy, harmonium; from harmonium import data; data.load('digits');"
        "print(harmonium.__file__, flush=True); runpy.run_module('harmonium', run_name='__main__')"
    )
    fit = "fit bars-and-stripes --out run --hidden 5 --steps 20 -q"
    done = subprocess.run(
        [sys.executable, "-c", code, *fit.split()],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.split("\n")[0]).is_relative_to(tmp_path)
    assert (tmp_path / "run" / "model.safetensors").is_file() and (tmp_path / "run" / "report.html").is_file()
