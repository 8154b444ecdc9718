"""`python -m perf.post`: the same as `ep-perf report RUN --post URL`, and no page."""

import sys

from perf.cli import report

if __name__ == "__main__":
    raise SystemExit(report.main([*sys.argv[1:], "--no_page"], prog="python -m perf.post"))
