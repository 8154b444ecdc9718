"""Run models on the targets of this interpreter, all in this process, for a debugger or a quick look."""

from perf.cli.benchmark import main

if __name__ == "__main__":
    raise SystemExit(main())
