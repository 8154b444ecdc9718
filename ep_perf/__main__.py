"""The command ep-perf, also as `python -m ep_perf`."""

import ep_perf  # noqa: F401  # puts perf on the path
from perf.cli.verbs import main

if __name__ == "__main__":
    raise SystemExit(main())
