"""The code of docs/machines.md runs as printed."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "machines.md"


def test_the_python_blocks_of_the_page_run_one_after_another():
    text = PAGE.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "machines"}
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert len(blocks) > 3
    for found in blocks:
        # as many empty lines before it as stand above it, so that an error names the line of the page
        exec(compile("\n" * text.count("\n", 0, found.start(1)) + found[1], str(PAGE), "exec"), names)
    assert names["missed"] == 0 and names["invented"] <= 2
