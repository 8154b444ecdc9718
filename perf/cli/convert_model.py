"""`ep-perf models convert`: to a smaller precision, checked against fp32, or (--to engine) to an engine."""

import argparse
import sys
from collections.abc import Sequence

from perf.backends._tensorrt import convert as engine
from perf.conversion import convert
from perf.conversion.errors import run_command
from perf.request.command_parser import CommandParser

KINDS = ("onnx", "engine")


def make_parser() -> CommandParser:
    """The flags of a conversion to ONNX, and the one that asks for an engine."""
    parser = convert.make_parser()
    parser.add_argument(
        "--to", choices=KINDS, default="onnx",
        help="default onnx; engine: TensorRT's, which has flags of its own (--to engine --help)",
    )  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of either. Raises UserError."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    chosen.add_argument("--to", choices=KINDS)
    try:
        given, rest = chosen.parse_known_args(words)
    except argparse.ArgumentError:
        make_parser().parse_args(words)  # it says what is wrong
        raise
    if given.to == "engine":
        return engine.main(rest)
    if {"-h", "--help"} & set(rest):
        make_parser().parse_args(rest)
    return convert.main(rest)


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
