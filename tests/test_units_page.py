"""The code of docs/units.md runs as printed, and its table shows what comes out."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "units.md"


def test_the_python_blocks_of_the_page_run_one_after_another():
    text = PAGE.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "units"}
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert len(blocks) > 7
    for found in blocks:
        # as many empty lines before it as stand above it, so that an error names the line of the page
        exec(compile("\n" * text.count("\n", 0, found.start(1)) + found[1], str(PAGE), "exec"), names)
    (table,) = re.findall(r"^\| columns.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    printed = [float(x) for x in re.findall(r"-\d+\.\d+", table)]
    got = list(names["results"].values())
    assert len(printed) == len(got)
    assert all(abs(a - b) < 0.1 for a, b in zip(printed, got, strict=True))
