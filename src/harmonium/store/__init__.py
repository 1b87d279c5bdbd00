"""Models and checkpoints in files: one safetensors file each, written whole or not at all, never pickled.

`save` and `load` are for models, `save_tensors` and `load_tensors` for whatever else is tensors and facts
about them; checkpoints also keep the one before them. `replacing` is how any file is written here.
"""

from harmonium.store.checkpoints import Checkpoint, previous, recover
from harmonium.store.features import export_features
from harmonium.store.files import (
    DamagedFile,
    Facts,
    check_name,
    drop_leftovers,
    load_tensors,
    naming,
    of_later_format,
    place,
    read_facts,
    replacing,
    save_tensors,
    tensors_from_bytes,
    tensors_to_bytes,
)
from harmonium.store.interchange import (
    from_dimod,
    from_sklearn,
    load_julia,
    load_rbms,
    save_julia,
    save_rbms,
    to_dimod,
    to_sklearn,
)
from harmonium.store.model import from_bytes, load, save, to_bytes

__all__ = [
    "Checkpoint",
    "DamagedFile",
    "Facts",
    "naming",
    "check_name",
    "drop_leftovers",
    "export_features",
    "from_bytes",
    "from_dimod",
    "from_sklearn",
    "load",
    "load_julia",
    "load_rbms",
    "load_tensors",
    "of_later_format",
    "place",
    "previous",
    "read_facts",
    "recover",
    "replacing",
    "save",
    "save_julia",
    "save_rbms",
    "save_tensors",
    "tensors_from_bytes",
    "tensors_to_bytes",
    "to_bytes",
    "to_dimod",
    "to_sklearn",
]
