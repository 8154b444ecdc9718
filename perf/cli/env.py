"""`ep-perf env`: the environments that engines run in, listed, built before a run needs them, and removed."""

import contextlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.cli.exit_codes import run_and_report
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.environments import (
    STAMP,
    EnvironmentSpec,
    folder_of,
    interpreter_of,
    is_built,
    load_environments,
    override_environments,
    read_environments,
)
from perf.request.exit_status import CANNOT_SERVE, OK
from perf.request.flag_types import environments
from perf.request.locations import environments_folder
from perf.request.programs import command_of
from perf.schema.file_lock import LockTaken, hold_lock
from perf.wrapper.environments import build_environment, say

ACTIONS = ("list", "build", "remove")


def make_parser() -> CommandParser:
    """The flags of environments."""
    prog = command_of("perf.cli.env")
    parser = CommandParser(
        prog, "List, build or remove the environments that engines run in.",
        examples=(f"{prog} list", f"{prog} build openvino", f"{prog} build new='onnxruntime==1.32.0'"),
    )  # fmt: skip
    parser.add_argument("action", nargs="?", choices=ACTIONS, help="what to do")
    parser.add_argument(
        "name",
        nargs="*",
        metavar="NAME",
        help="environments; to build, also NAME=WHEEL or NAME='PACKAGE==VERSION …'",
    )
    parser.add_argument(
        "--file",
        type=Path,
        metavar="TOML",
        help="that names them; left out: ./environments.toml over the built-in ones",
    )
    parser.add_argument(
        "--unused", action="store_true", help="remove what lies there and no file names"
    )
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Carry one action out; returns the exit status."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = make_parser().parse_args(argv)
    if args.action is None:
        raise BadRequestError(f"which action? {', '.join(ACTIONS)} (-h shows examples)")
    given = environments([n for n in args.name if "=" in n])
    specs = load_environments(args.file) if args.file else read_environments()
    specs = override_environments(specs, given, {})
    names = [n.partition("=")[0] for n in args.name]
    where = args.file or "environments.toml"
    match args.action:
        case "list":
            _list(specs, as_json=args.json)
        case "build":
            known = {s.name: s for s in specs}
            for name in names:
                if name not in known:
                    raise BadRequestError(
                        f"{where}: no environment {name!r}; it has {', '.join(known)}"
                    )
            for name in names:
                if problem := build_environment(known[name], say):
                    print(f"error: {problem}", file=sys.stderr)
                    return CANNOT_SERVE
        case _:
            unused = [p.name for p in _unused(specs)] if args.unused else []
            for name in (*names, *unused):
                _remove(environments_folder() / name)
    return OK


def _list(specs: Sequence[EnvironmentSpec], *, as_json: bool) -> None:
    rows = [
        {"name": s.name, "state": _state(s), "python": interpreter_of(s), "requirements": s.requirements,
         "targets": [s.plugin["target"]] if s.plugin else s.targets}
        for s in specs
    ]  # fmt: skip
    rows += [
        {"name": p.name, "state": "named by no file", "python": str(p / "bin" / "python"),
         "requirements": (), "targets": ()}
        for p in _unused(specs)
    ]  # fmt: skip
    if as_json:
        print(json.dumps({"folder": str(environments_folder()), "environments": rows}, indent=1))
        return
    width = max(len(str(r["name"])) for r in rows)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['state']}\n{'':<{width}}  {row['python']}")


def _state(spec: EnvironmentSpec) -> str:
    if not spec.requirements:
        return "an interpreter"
    size = f", about {spec.size_mib} MiB" if spec.size_mib else ""
    return "built" if is_built(spec) else f"not built{size}"


def _unused(specs: Sequence[EnvironmentSpec]) -> list[Path]:
    """Environments that were built for what no file names any more, or for another clone or run."""
    ours = {folder_of(s) for s in specs if s.requirements}
    return sorted(
        p.parent for p in environments_folder().glob(f"*/{STAMP}") if p.parent not in ours
    )


def _remove(folder: Path) -> None:
    """Remove an environment, if it is one that was built here and that no run holds."""
    if not (folder / STAMP).is_file():
        raise BadRequestError(
            f"{folder}: no environment that was built there; `{command_of('perf.cli.env')} list` shows them"
        )
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(hold_lock(folder, wait=False))
        except LockTaken:
            raise BadRequestError(
                f"{folder}: a run is using it; remove it when that has ended"
            ) from None
        shutil.rmtree(folder)


if __name__ == "__main__":
    raise SystemExit(main())
