"""The code of docs/answers.md runs as printed, and its answers are those that it tells of."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "answers.md"


def test_the_blocks_run_one_after_another(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "answers"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/answers.md, python block {number}", "exec"), names)
    first = names["found"].top(1).iloc[0]
    assert (first["row"], first["column"]) == (7, "alcohol")
    known = names["gaps"].notna()
    assert (names["filled"][known] == names["gaps"][known])[known].stack().all()
    assert ((names["doubt"] > 0) == ~known).all().all()
    assert abs(names["pooled"] - names["frame"]["proline"].head(40).mean()) < 4.5 * names["error"]
    assert (tmp_path / "wines.html").stat().st_size > 10_000
