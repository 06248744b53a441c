"""`python -m mammoflow`."""

import sys

from mammoflow.cli import main

sys.exit(main(prog_name="mammoflow"))
