"""The name by which users know perf.conversion.infer_shapes: `python -m setup_models.shapes`."""

import sys

from perf.conversion.errors import run_command
from perf.conversion.infer_shapes import main

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
