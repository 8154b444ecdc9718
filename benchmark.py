"""Run models on the targets of this interpreter, all in this process, for a debugger or a quick look."""

if __name__ == "__main__":
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out
    from perf.cli.benchmark import main

    raise SystemExit(main())
