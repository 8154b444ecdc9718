"""Run a detection model eagerly and by each optimiser, and print one table."""

from perf.cli.clone_interpreter import continue_in_own
from perf.cli.run_blade import main

if __name__ == "__main__":
    continue_in_own()
    raise SystemExit(main())
