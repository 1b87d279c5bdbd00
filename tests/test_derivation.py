"""The code of docs/derivation.md runs as printed, and its pictures are there."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "derivation.md"


def test_the_python_blocks_of_the_derivation_run_one_after_another():
    text = PAGE.read_text(encoding="utf-8")
    blocks = [
        (text.count("\n", 0, found.start(1)), found.group(1))
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]
    assert len(blocks) > 15 and all("assert" in block for _, block in blocks[1:])
    names: dict[str, object] = {"__name__": "derivation"}
    for line, block in blocks:
        # as many empty lines before it as stand above it, so that an error names the line of the page
        exec(compile("\n" * line + block, str(PAGE), "exec"), names)


def test_the_pictures_of_the_derivation_exist():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert pictures and all((PAGE.parent / picture).is_file() for picture in pictures)
