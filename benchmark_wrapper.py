"""Run every model on every target, one process per launch, and write the tables."""

if __name__ == "__main__":
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out
    from perf.cli.benchmark_wrapper import main

    raise SystemExit(main())
