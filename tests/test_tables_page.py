"""The code of docs/tables.md runs as printed."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "tables.md"


def test_the_blocks_run_one_after_another(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "tables"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/tables.md, python block {number}", "exec"), names)
    assert list(names["frame"].columns) == list(names["model"].schema.names)
