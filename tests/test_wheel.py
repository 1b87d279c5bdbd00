"""The wheel: it holds the whole package, and works outside the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of what it is made of, so that nothing is left in the repository."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for path in package_files():
        copy = source / "src" / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / "src" / path).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "-w", str(out)]
    subprocess.run([*pip, "wheel", *options, str(source)], check=True)
    (built,) = out.glob("*.whl")
    return built


def package_files():
    """Every file of the package, from src/ on."""
    found = (ROOT / "src" / "harmonium").rglob("*")
    return {p.relative_to(ROOT / "src") for p in found if p.is_file() and "__pycache__" not in p.parts}


def test_a_wheel_holds_every_file_of_the_package_and_the_command(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    held = {Path(name) for name in names if ".dist-info/" not in name}
    assert held == package_files() and Path("harmonium/py.typed") in held
    scripts = next(name for name in names if name.endswith("entry_points.txt"))
    assert "harmonium = harmonium.cli:main" in zipfile.ZipFile(wheel).read(scripts).decode()


def test_a_wheel_works_outside_the_repository(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    # nothing is compiled for a folder that is gone soon after
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "HARMONIUM_PRODUCTS": "plain"}
    where = "import harmonium; from harmonium import data; data.load('digits'); print(harmonium.__file__)"
    fit = "fit bars-and-stripes --out run --hidden 5 --steps 20 -q"
    for command in (["-c", where], ["-m", "harmonium", *fit.split()]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        if command[1] == where:
            assert Path(done.stdout.strip()).is_relative_to(tmp_path)
    assert (tmp_path / "run" / "model.safetensors").is_file() and (tmp_path / "run" / "report.html").is_file()
