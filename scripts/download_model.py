"""Make a model's weights."""

from perf.cli.download_model import main

if __name__ == "__main__":
    raise SystemExit(main())
