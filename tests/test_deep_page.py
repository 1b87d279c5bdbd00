"""The code of docs/deep.md runs as printed."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "deep.md"


def test_the_blocks_run_one_after_another():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, object] = {"__name__": "deep"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/deep.md, python block {number}", "exec"), names)
    assert names["rows"].shape == (5, 16) and names["features"].shape == (30, 4)
    assert names["found"].low == names["found"].high and names["estimate"].stderr == 0
