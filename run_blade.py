"""Run a detection model eagerly and by each optimiser, and print one table."""

from perf.cli.run_blade import main

if __name__ == "__main__":
    raise SystemExit(main())
