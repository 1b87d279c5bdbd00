"""docs/bad-input.md as the tests read it."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "bad-input.md"


def tables():
    """{heading: {case: pattern of the sentence}}."""
    found = {}
    for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        rows = re.findall(r"^\| (.+?) \| `(.+)` \|$", part, re.MULTILINE)
        heading = part.partition("\n")[0]
        found[heading] = {case: re.escape(words).replace("…", ".*") for case, words in rows}
    return found


TABLES = tables()


def cases(heading, made):
    """The rows below a heading, each with what is made for it: (made, pattern)."""
    assert TABLES[heading].keys() == made.keys(), "the page and the tests name different cases"
    return [pytest.param(made[case], words, id=case) for case, words in TABLES[heading].items()]
