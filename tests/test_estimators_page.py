"""The code of docs/estimators.md runs as printed."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "estimators.md"


def test_the_python_blocks_of_the_page_run_one_after_another(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks, "docs/estimators.md has no ```python block"
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/estimators.md, python block {number}", "exec"), names)
