"""`harmonium doctor`: what is installed here, and whether it computes what it should."""

from __future__ import annotations

import json
import sys

from harmonium.cli import screen
from harmonium.cli.entry import DONE, FAILED
from harmonium.cli.plain import plain
from harmonium.diagnostics import installation


def run(*, as_json: bool) -> int:
    """Print the facts, and return the exit status: 1 where a self-test fails."""
    known = installation.facts()
    with screen.waiting("testing", quiet=as_json):
        known["self_test"] = installation.self_test()
    if as_json:
        print(json.dumps(plain(known), allow_nan=False))
    else:
        screen.table("harmonium doctor", installation.in_words(known))
    failed = [f"{test['name']}: {test['sentence']}" for test in known["self_test"] if not test["passed"]]
    if failed:
        print(f"harmonium: a self-test failed ({'; '.join(failed)}).", file=sys.stderr)
    return FAILED if failed else DONE
