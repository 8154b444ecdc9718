"""Export a model to a folder."""

from perf.cli.export_tensorrt import main

if __name__ == "__main__":
    raise SystemExit(main())
