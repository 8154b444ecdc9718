"""Time an exported model."""

from perf.cli.benchmark_gpu import main
from perf.cli.clone_interpreter import continue_in_own

if __name__ == "__main__":
    continue_in_own()
    raise SystemExit(main())
