"""Run every model on every target, one process per launch, and write the tables."""

from perf.cli.benchmark_wrapper import main

if __name__ == "__main__":
    raise SystemExit(main())
