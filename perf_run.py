"""Run one model on several backends as a YAML file says, and print one table."""

from perf.cli.clone_interpreter import continue_in_own
from perf.cli.perf_run import main

if __name__ == "__main__":
    continue_in_own()
    raise SystemExit(main())
