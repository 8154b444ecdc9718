"""`ep-perf compare`: what changed between two runs, or with --calibrate the noise of this machine."""

import sys
from collections.abc import Sequence

from comparison import calibrate, cli
from comparison.cli import Question, make_parser

__all__ = ["main", "make_parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, or with --calibrate measure this machine's noise; the exit status of either."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "--calibrate" in words:
        return calibrate.main([w for w in words if w != "--calibrate"])
    return cli.main(Question.ALL, words)


if __name__ == "__main__":
    raise SystemExit(main())
