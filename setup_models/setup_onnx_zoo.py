"""`setup_onnx_zoo.py`: zoo models, archives, links and folders of them made ready for the harness."""

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in {None, ""}:  # called by its path, as the predecessor's users do
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from perf.conversion.errors import UserError, run_command
from perf.request.command_parser import CommandParser
from perf.request.locations import xdg_folder
from perf.request.model_list import load_models
from perf.request.programs import command_of, install_command

try:
    from setup_models import gather, model_list_rows
    from setup_models.add import add_models_flag
    from setup_models.check import examine_model
    from setup_models.fetch import zoo
except ModuleNotFoundError as error:
    mend = install_command(str(error.name))
    print(f"error: {sys.executable} lacks {error.name}; `{mend}` brings it", file=sys.stderr)
    raise SystemExit(2) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 with every model set up, 2 with one line on stderr and nothing changed."""
    args = make_parser().parse_args(arguments)
    pins = zoo.load_pins(args.models)
    if args.list:
        return _list(args.what or ["*"], pins, args.models, args.update_lock)
    if not args.what and not Path("links.txt").is_file():
        raise UserError("nothing to set up: name some models, or write ./links.txt; see --help")
    context = gather.SetupContext(
        pins=pins,
        models=args.models,
        list_path=args.json or args.models / model_list_rows.FILE_NAME,
        # an interrupted download waits outside the models' folder to be gone on with
        downloads=args.downloads or xdg_folder("CACHE", ".cache"),
        keep_downloads=args.downloads is not None,
        update_lock=args.update_lock,
        make_test_data=args.make_test_data,
    )
    names = gather.set_up(args.what or ["links.txt"], context)
    for model in (m for m in load_models(context.list_path) if m.name in names):
        lacks = "; ".join(what for what, _ in examine_model(model, ()).lacks)
        print(f"{model.name}: {lacks or 'ready'}")
    run = command_of("perf.cli.benchmark_wrapper")
    print(f"run them: {run} -m {context.list_path} -i fix -r both")
    return 0


def make_parser() -> CommandParser:
    """The flags of setting models up."""
    prog = command_of("setup_models.setup_onnx_zoo")
    parser = CommandParser(
        prog, "Set up models of the ONNX zoo, archives, links, and folders of them.",
        examples=(f"{prog} 'resnet*-v1-7'", f"{prog} nets.tar.gz", f"{prog} --list"),
        epilog="WHAT is a zoo model's name (wildcards work), an https:// or file:// link or a path to an "
        "archive (.zip, .tar.gz, .tar.xz, .tar.zst), a folder of archives or of unpacked models, or a "
        "links.txt with one of these a line. A link may end in #sha256=<64 hex digits>; links and names "
        "without a known digest need --update_lock.",
    )  # fmt: skip
    parser.add_argument("what", nargs="*", metavar="WHAT", help="default ./links.txt")
    add_models_flag(parser)
    for flag, metavar, what in (
        ("--json", "LIST", "default <models>/model_list.json"),
        ("--downloads", "DIR", "keep what is fetched here; else it goes when done"),
    ):
        parser.add_argument(flag, type=Path, metavar=metavar, help=what)
    for flag, what in (
        ("--list", "names, sizes and opsets"),
        ("--update_lock", "take and record digests not known yet"),
        ("--make_test_data", "make sets for models that come without"),
    ):
        parser.add_argument(flag, action="store_true", help=what)
    return parser


def _list(patterns: Sequence[str], pins: dict[str, zoo.Pin], models: Path, update: bool) -> int:
    """Print what fits; with --update-lock the hub is asked first and its answer recorded."""
    if update:
        found = zoo.list_hub_models()
        zoo.add_pins(models, found)
        pins = pins | {pin.name: pin for pin in found}
    shown = {pin.name: pin for pattern in patterns for pin in zoo.match_pins(pins, pattern)}
    if not shown:
        raise UserError(f"no zoo model is called {' or '.join(patterns)}; see --list")
    print(f"{'model':<32} {'MiB':>7} {'opset':>5}  digest")
    for pin in shown.values():
        size = "" if pin.size_bytes is None else f"{pin.size_bytes / 2**20:.1f}"
        opset = "" if pin.opset is None else str(pin.opset)
        print(f"{pin.name:<32} {size:>7} {opset:>5}  {'locked' if pin.sha256 else 'unknown'}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
