"""`python -m protbert_classify`, and the `protbert-classify` command."""

import sys

from .commands import main

if __name__ == "__main__":
    sys.exit(main())
