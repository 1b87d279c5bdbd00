"""The wheel and the source archive, the same bytes wherever and whenever they are built from the same files.

    python tests/distributions.py dist      builds both into a folder, twice, and compares

Files are dated by SOURCE_DATE_EPOCH, or else by the last commit; owners, permissions and the order of an
archive are nobody's. Another version of setuptools or of zlib may still write other bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILD = "import sys, setuptools.build_meta as b; out = sys.argv[1]; b.build_wheel(out); b.build_sdist(out)"


def package_files() -> set[Path]:
    """Every file of the package, from src/ on."""
    found = (ROOT / "src" / "harmonium").rglob("*")
    return {p.relative_to(ROOT / "src") for p in found if p.is_file() and "__pycache__" not in p.parts}


def date() -> int:
    """Seconds since 1970 that every file is dated by."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return int(said) if said else 315532800  # 1980, where zip begins


def build(out: Path) -> list[Path]:
    """The wheel and the source archive, from a copy, so that nothing is left in the repository."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "harmonium"
        for name in ("pyproject.toml", "README.md", "LICENSE", *(Path("src") / p for p in package_files())):
            copy = source / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy)
            copy.chmod(0o644)
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", BUILD, str(Path(place) / "made")],
            cwd=source,
            env=os.environ | {"SOURCE_DATE_EPOCH": str(date()), "PYTHONHASHSEED": "0"},
            check=True,
            stdout=subprocess.DEVNULL,
            umask=0o022,  # which a wheel would remember
        )
        (archive,) = (Path(place) / "made").glob("*.tar.gz")
        archive.write_bytes(normal(archive.read_bytes(), date()))
        return sorted(Path(shutil.copy(p, out)) for p in (Path(place) / "made").iterdir())


def normal(archive: bytes, seconds: int) -> bytes:
    """The same source archive by nobody, at this time, in the order of its names."""
    plain = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as given,
        tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as taken,
    ):
        for member in sorted(given.getmembers(), key=lambda m: m.name):
            fresh = tarfile.TarInfo(member.name)
            fresh.size, fresh.type, fresh.mtime = member.size, member.type, seconds
            fresh.mode = 0o755 if member.isdir() else 0o644
            taken.addfile(fresh, given.extractfile(member) if member.isfile() else None)
    return gzip.compress(plain.getvalue(), mtime=seconds)


def main(out: Path) -> int:
    """Builds twice, and says what differs."""
    first = {p.name: digest(p) for p in build(out)}
    with tempfile.TemporaryDirectory() as again:
        second = {p.name: digest(p) for p in build(Path(again))}
    for name, found in first.items():
        print(found, out / name)
    if first != second:
        print("the second build differs", file=sys.stderr)
    return int(first != second)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
