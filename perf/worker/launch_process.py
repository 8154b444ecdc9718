"""A launch carried out in this process, which ends with it; as a program, in one spawned afresh."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from perf.worker import stages, worker_process


def carry_out(request: Mapping[str, Any]) -> NoReturn:
    """Run the stages of a launch (its kind, job and folder) and end with their status; never returns."""
    folder = Path(request["folder"])
    worker_process.enter_folder(folder, request.get("writable"))
    worker_process.leave(stages.run_launch(request["kind"], Path(request["job"]), folder))


def main(argv: list[str]) -> NoReturn:
    """A launch spawned afresh, its request as JSON; under a prefix too it dies with the wrapper."""
    if argv[:1] in (["-h"], ["--help"]):
        print(main.__doc__)
        sys.exit(0)
    worker_process.get_ready()
    carry_out(json.loads(argv[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
