"""PyTorch's interpreter found or built, and told to write a model in another form or its weights."""

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from perf.request.bad_request import BadRequestError
from perf.request.locations import CODE, environments_folder
from perf.request.programs import child_command, child_variables

ENVIRONMENT = "torch"
_PATIENCE_S = 1800.0
_MAKE_WEIGHTS = (
    "import pathlib, sys; from setup_models.networks import vitdet; "
    "vitdet.save_weights(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))"
)


def find_interpreter(named: Iterable[str] = ()) -> Path:
    """The interpreter of the environment torch: as --env names it, else built where it is not there."""
    for word in named or ():
        name, _, value = word.partition("=")
        if name == ENVIRONMENT:
            if not Path(value).is_file():
                raise BadRequestError(f"--env {word}: no such interpreter")
            return Path(value).absolute()
    python = environments_folder() / ENVIRONMENT / "bin" / "python"
    if not python.is_file():
        _run(
            [*child_command("perf.cli.env"), "build", ENVIRONMENT],
            "the environment torch could not be built",
        )
    return python


def write_torchscript(python: Path, entry: str, path: Path, *, script: bool = False) -> None:
    """Trace or script an entry point to a TorchScript file; raises BadRequestError with what was said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    more = ["--script"] if script else []
    words = [
        "-m",
        "perf.backends._torch.convert",
        entry,
        "--to",
        "torchscript",
        "-o",
        str(path),
        *more,
    ]
    _run([str(python), "-P", *words], f"{entry} could not be exported")


def write_weights(python: Path, path: Path, height: int, width: int) -> None:
    """Draw the weights of the vision transformer from their seed."""
    words = ["-c", _MAKE_WEIGHTS, str(path.absolute()), str(height), str(width)]
    _run([str(python), "-P", *words], f"{path} could not be made")


def _run(command: list[str], what: str) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="ep-perf-") as scratch:
            # PyTorch leaves a folder of its compiler's in the system's one as it is imported
            done = subprocess.run(
                command, cwd=CODE, env={**child_variables(), "TMPDIR": scratch}, capture_output=True,
                text=True, timeout=_PATIENCE_S, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
    except subprocess.TimeoutExpired as e:
        raise BadRequestError(f"{what}: not done after {_PATIENCE_S:.0f} s") from e
    if done.returncode:
        said = (
            done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}"
        ).splitlines()
        raise BadRequestError(f"{what}: {said[-1][:400]}")
