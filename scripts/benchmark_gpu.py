"""Time an exported model."""

from perf.cli.benchmark_gpu import main

if __name__ == "__main__":
    raise SystemExit(main())
