"""scripts.download_model: weights drawn from a seed, as a checkpoint's file would hold them."""

from collections.abc import Sequence
from pathlib import Path

from perf.cli import exported_run, framework_exports
from perf.cli.exit_codes import run_and_report
from perf.request.command_parser import CommandParser
from perf.request.programs import command_of

KEYS = {"path": "weights/vitdet.pt", "image.height": "256", "image.width": "256", "env": ""}


def make_parser() -> CommandParser:
    """Words such as path=FILE."""
    return exported_run.make_parser(
        command_of("perf.cli.download_model"), "Make the weights of the detection model.", KEYS
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file, and print its path."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    given = exported_run.read_words(make_parser().parse_args(argv).words, KEYS)
    sides = [exported_run.read_number(given, k) for k in ("image.height", "image.width")]
    python = framework_exports.find_interpreter([given["env"]] if given["env"] else ())
    framework_exports.write_weights(python, Path(given["path"]), *sides)
    print(given["path"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
