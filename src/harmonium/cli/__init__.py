"""The `harmonium` command.

`main` is its entry. The modules of the commands load PyTorch and the rest only once a command has work to do,
so that `harmonium --help` answers at once.
"""

from harmonium.cli.entry import main

__all__ = ["main"]
