"""`python -m mammoflow.cli`."""

import sys

from mammoflow.cli import main

sys.exit(main(prog_name="mammoflow"))
