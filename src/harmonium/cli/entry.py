"""From a command line to an exit status."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harmonium.cli import torchrun

DONE = 0
FAILED = 1
"""Training diverged, another process has ended, or a self-test failed."""
MISTAKE = 2
"""The user's: in the options, or in the data."""
INTERRUPTED = 130
TERMINATED = 143

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTHING_WRITTEN = "interrupted, and nothing was written."


class Interrupted(Exception):
    """Ctrl-C or SIGTERM in the middle of work; the message says what is saved."""


@contextmanager
def _terminable() -> Iterator[list[int]]:
    """SIGTERM ends work as Ctrl-C does; yields the exit status of an interruption, in a list."""
    status = [INTERRUPTED]
    if threading.current_thread() is not threading.main_thread():
        yield status
        return

    def end(number: int, frame: object) -> None:
        status[0] = TERMINATED
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in SIGNALS}
    if before[signal.SIGTERM] is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)
    try:
        yield status
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that isn't Python's
                signal.signal(number, handler)


def deafen() -> None:
    """Hear no more signals until `main` returns, since the process is about to end with a sentence.

    A launcher passes on what its processes have heard already, or ends them all as one has ended.
    """
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    A mistake of the user's becomes one sentence on stderr, without a traceback. A ValueError counts as one
    where harmonium itself raised it, in words meant for people; one from deeper is a bug, and keeps its
    traceback.

    Args:
        arguments: those after the name of the program; by default those of the process.
    """
    for stream in (sys.stdout, sys.stderr):  # names of files may be no Unicode
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    with _terminable() as interrupted:
        return _status(arguments, interrupted)


def _status(arguments: Sequence[str] | None, interrupted: Sequence[int]) -> int:
    import typer

    from harmonium.cli.app import app

    usage_error: type[Exception] = typer.BadParameter.__mro__[1]  # Typer doesn't export it
    try:
        status = app(args=arguments, prog_name="harmonium", standalone_mode=False)
    except usage_error as error:
        return _say(_usage_sentence(error), MISTAKE)
    except Interrupted as error:
        return _say(str(error), interrupted[0])
    except (KeyboardInterrupt, typer.Abort):
        return _say(NOTHING_WRITTEN, interrupted[0])
    except FloatingPointError as error:
        return _say(str(error), FAILED)
    except OSError as error:
        return _say(os_sentence(error), FAILED if isinstance(error, ConnectionError) else MISTAKE)
    except ValueError as error:
        if not _raised_by_harmonium(error):
            raise
        return _say(str(error), MISTAKE)
    if status == INTERRUPTED:  # so Typer reports an interruption that it has caught itself
        return _say(NOTHING_WRITTEN, interrupted[0])
    return status if isinstance(status, int) else DONE


def _say(sentence: str, status: int) -> int:
    if torchrun.talks():
        print(f"harmonium: {' '.join(sentence.split())}", file=sys.stderr)
    return status


def _usage_sentence(error: Exception) -> str:
    """What Typer says about wrong options, and where the right ones are written."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "harmonium"
    text = error.format_message().rstrip(".")  # type: ignore[attr-defined]  # every usage error has it
    return f"{text[:1].lower()}{text[1:]}; see '{command} --help'."


def os_sentence(error: OSError) -> str:
    """Sentences of harmonium as they are, those of the operating system with the file they are about."""
    if error.strerror is None:
        return str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror[:1].lower()}{error.strerror[1:]}."


def _raised_by_harmonium(error: BaseException) -> bool:
    """Whether the innermost function of the traceback is one of this package."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith("harmonium.")
