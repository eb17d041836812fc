"""`python -m diffuscope`: the command line, for machines where the console script is not on the path."""

import sys

from diffuscope.cli import main

if __name__ == "__main__":
    sys.exit(main())
