"""`python -m harmonium` is the `harmonium` command."""

import sys

from harmonium.cli import main

if __name__ == "__main__":
    sys.exit(main())
