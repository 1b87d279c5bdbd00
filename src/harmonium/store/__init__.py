"""Models and checkpoints in files: one safetensors file each, written whole or not at all, never pickled.

`save` and `load` are for models, `save_tensors` and `load_tensors` for whatever else is tensors and facts
about them; checkpoints also keep the one before them. `replacing` is how any file is written here.
"""

from harmonium.store.checkpoints import Checkpoint, previous, recover
from harmonium.store.files import (
    DamagedFile,
    Facts,
    check_name,
    drop_leftovers,
    load_tensors,
    read_facts,
    replacing,
    save_tensors,
)
from harmonium.store.model import load, save

__all__ = [
    "Checkpoint",
    "DamagedFile",
    "Facts",
    "check_name",
    "drop_leftovers",
    "load",
    "load_tensors",
    "previous",
    "read_facts",
    "recover",
    "replacing",
    "save",
    "save_tensors",
]
