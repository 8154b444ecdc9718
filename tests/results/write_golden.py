"""Write the golden tables again, to be read before a commit: `python -m tests.results.write_golden`."""

import shutil
import tempfile
from pathlib import Path

from perf.results import tables
from tests.results import hand_made

GOLDEN = Path(__file__).parent / "golden"


def main() -> None:
    """Write tests/results/golden/*.csv and cells.jsonl."""
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        written = tables.write_all(
            (*hand_made.two_models(), *hand_made.every_outcome()),
            hand_made.host(),
            Path(folder),
            Path(folder),
            "RUN",
            label="golden",
        )
        for path in written:
            shutil.copy(path, GOLDEN / path.name)


if __name__ == "__main__":
    main()
