"""The name by which users know perf.conversion.convert: `python -m setup_models.half`."""

import sys

from perf.conversion.convert import main
from perf.conversion.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
