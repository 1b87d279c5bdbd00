"""Commands in several processes, as torchrun starts them: each joins the others, and the first one talks."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harmonium.cli.options import FitOptions

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What PyTorch wants to know of the others."""
DIVIDED = ("fit", "evaluate", "sample")
"""Commands that several processes do together."""


def launched() -> bool:
    """Whether this is one of several processes that torchrun has started."""
    return all(name in os.environ for name in NEEDED) and int(os.environ["WORLD_SIZE"]) > 1


def talks() -> bool:
    """Whether this process is the one that writes and talks."""
    return not launched() or os.environ["RANK"] == "0"


def check(command: str | None) -> None:
    """Refuse a command that several processes would do over and over."""
    if command not in (None, *DIVIDED) and launched():
        raise ValueError(f"harmonium {command} is done by one process; start it without torchrun.")


@contextmanager
def joined(device: str = "cpu") -> Iterator[str]:
    """Among the other processes, if there are any; yields the device of this one.

    Tensors in memory are sent by Gloo, those on GPUs by NCCL, where `cuda` is the GPU of the process's number
    on its machine.
    """
    if not launched():
        yield device
        return
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    on_gpus = device.startswith("cuda") and torch.cuda.is_available()
    if on_gpus and device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
    store, rank, count = next(rendezvous("env://"))
    # torchrun may keep its store when it starts workers again: the addresses of those before are in it
    start = f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    store = distributed.PrefixStore(start, store)  # type: ignore[attr-defined]  # documented all the same
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def launch() -> str | None:
    """What tells this start of torchrun from all others, its restarts of workers included; None without."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    if name is None:
        return None
    return name if name != "none" else f"{socket.gethostname()}:{os.getppid()}"


def restarted(options: FitOptions, settings: Mapping[str, Any] | None) -> FitOptions:
    """The options with which workers go on that torchrun has started again: its command line is still that of
    the beginning.

    Args:
        options: those of the command line.
        settings: what has been written down in the folder of the run, if anything.
    """
    again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    if not again or settings is None or launch() is None or settings.get("launch") != launch():
        return options
    return replace(options, resume=True, force=False)


def written(folder: Path) -> Mapping[str, Any] | None:
    """The settings in a folder, None where there are none that can be read."""
    from harmonium.cli.folder import read_settings

    try:
        return read_settings(folder)
    except (OSError, ValueError):
        return None
