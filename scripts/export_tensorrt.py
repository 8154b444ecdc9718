"""Export a model to a folder."""

from perf.cli.clone_interpreter import continue_in_own
from perf.cli.export_tensorrt import main

if __name__ == "__main__":
    continue_in_own()
    raise SystemExit(main())
