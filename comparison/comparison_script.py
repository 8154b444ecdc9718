"""Compares two runs on every count."""

if __name__ == "__main__":
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the root, not this script's folder
    from comparison.cli import Question, main

    sys.exit(main(Question.ALL))
