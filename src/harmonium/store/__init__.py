"""Models and checkpoints in files: one safetensors file each, written whole or not at all, never pickled.

`save` and `load` are for models, `save_tensors` and `load_tensors` for whatever else is tensors and facts
about them, such as checkpoints. `replacing` is how any file is written here.
"""

from harmonium.store.files import Facts, load_tensors, read_facts, replacing, save_tensors
from harmonium.store.model import load, save

__all__ = ["Facts", "load", "load_tensors", "read_facts", "replacing", "save", "save_tensors"]
