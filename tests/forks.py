"""Commands in processes of their own that begin at once: `python forks.py` loads everything, then forks for
each line of JSON on stdin, the arguments of a command, and tells the number of the process; such a number
waits for its end and tells its status.

A fork of a process that has run loops in parallel would hang, so that the tests can't fork themselves.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path


class Forks:
    """The other end: starts commands and waits for them; a context."""

    def __enter__(self) -> Forks:
        paths = os.pathsep.join([str(Path(__file__).parents[1] / "src"), os.environ.get("PYTHONPATH", "")])
        threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | threads | {"PYTHONPATH": paths},
            text=True,
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline(), "the server ended as it warmed up"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()
        assert self._server.stdout is not None
        self._server.stdout.close()

    def _ask(self, what: object) -> dict[str, int | str]:
        assert self._server.stdin is not None and self._server.stdout is not None
        print(json.dumps(what), file=self._server.stdin, flush=True)
        return json.loads(self._server.stdout.readline())

    def start(self, *arguments: object, log: Path, **environment: object) -> int:
        """Begin a command whose stderr goes to a file; the number of its process."""
        more = {name: str(value) for name, value in environment.items()}
        self._last = int(self._ask([str(log), more, *map(str, arguments)])["pid"])
        return self._last

    def wait(self, pid: int | None = None) -> int:
        """The status of a command, by default the one begun last: negative where a signal has ended it."""
        return int(self._ask(self._last if pid is None else pid)["status"])

    def run(self, *arguments: object, log: Path) -> int:
        """Both at once."""
        self.start(*arguments, log=log)
        return self.wait()


def warm_up() -> None:
    """Make a small run here, so that no other loads the same libraries, loops and fonts again.

    By one thread (see `__enter__`), for a fork has none of the others.
    """
    from harmonium.cli import main

    fit, quiet = ["fit", "bars-and-stripes", "--hidden", "5", "--steps", "10", "-q", "--out"], io.StringIO()
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(quiet):
        assert main([*fit, f"{place}/run"]) == 0
    threads = Path("/proc/self/task")
    assert not threads.exists() or len(list(threads.iterdir())) == 1


def serve() -> None:
    warm_up()
    print("warm", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            status = os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1])
            print(json.dumps({"status": status}), flush=True)
            continue
        child = os.fork()
        if child == 0:
            # whoever starts tests in the background has Ctrl-C ignored, which children inherit
            signal.signal(signal.SIGINT, signal.default_int_handler)
            log = os.open(asked[0], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ |= asked[1]
            os._exit(_status(asked[2:]))
        print(json.dumps({"pid": child}), flush=True)


def _status(arguments: list[str]) -> int:
    import traceback

    from harmonium.cli import main

    try:
        return main(arguments)
    except BaseException:
        traceback.print_exc()
        return 99
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    serve()
