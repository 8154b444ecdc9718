"""Make a model's weights."""

from perf.cli.clone_interpreter import continue_in_own
from perf.cli.download_model import main

if __name__ == "__main__":
    continue_in_own()
    raise SystemExit(main())
