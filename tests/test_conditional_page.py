"""The code of docs/conditional.md runs as printed."""

import re
from pathlib import Path

import torch

PAGE = Path(__file__).parent.parent / "docs" / "conditional.md"


def test_the_blocks_run_one_after_another(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "conditional"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/conditional.md, python block {number}", "exec"), names)
    assert names["drawn"].shape == (5, 5) and torch.isfinite(names["ahead"]).all()
