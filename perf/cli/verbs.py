"""The command ep-perf: finds a verb in the table of programs and hands its module the rest of the words."""

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence

from perf.conversion.errors import UserError, run_command
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import describe_version
from perf.request.programs import VERBS, install_command

ABOUT = "Run ONNX models on execution providers, each launch in a process of its own, and compare runs."
EXAMPLES = (
    "ep-perf run -r both -i zoo        check and time the offline models on what can run here",
    "ep-perf run net.onnx -e cpu ov    one file on two targets",
    "ep-perf compare latest~1 latest   what changed between the last two runs",
)
GROUPS = {  # a verb of two words: what its group does, and examples
    "results": (
        "Show, follow, merge and remove the runs that were made before.",
        (
            "ep-perf results list",
            "ep-perf results show latest                  the latest run as it ended",
            "ep-perf results trend --steps                cells that changed over the runs",
        ),
    ),
    "models": (
        "Get models, check them and convert them.",
        (
            "ep-perf models add net.onnx --shape x=1x3x224x224   one file, with inputs and reference outputs",
            "ep-perf models check                         what each model has and lacks",
            "ep-perf models convert net.onnx net_fp16.onnx",
        ),
    ),
    "frameworks": (
        "Run the published benchmarks of frameworks beside ONNX Runtime, by their own flags.",
        (
            "ep-perf frameworks batches --batch_sizes 1,4,32 -e torch torch_script",
            "ep-perf frameworks backends --config=config/vgg16.yml",
        ),
    ),
    "fleet": (
        "Share one run out over many hosts.",
        (
            "ep-perf fleet slurm --nodes 8 --run_id night -e cuda cpu",
            "ep-perf fleet k8s --image IMAGE --shards 8 --run_id night -e cuda",
        ),
    ),
}
BY_WORDS = {v.words: v for v in VERBS if "--" not in v.words}
FLAGS = ("-h", "--help", "--version", "--print_completion")
SHELLS = ("bash", "zsh", "tcsh")
PATHS = ("PATH", "DIR", "MODEL", "RUN", "PREV", "CURRENT", "SOURCE", "CSV", "TOML", "WHAT", "LIST")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; returns its exit status."""
    return run_command(
        lambda words: _run(list(words or ())), sys.argv[1:] if argv is None else argv
    )


def _run(words: list[str]) -> int:
    for n in (2, 1):
        if verb := BY_WORDS.get(" ".join(words[:n])):
            return int(importlib.import_module(verb.module).main(words[n:]))
    group = words.pop(0) if words and any(w.startswith(f"{words[0]} ") for w in BY_WORDS) else ""
    known = [w.removeprefix(group).split()[0] for w in BY_WORDS if w.startswith(group)]
    match words:
        case ["-h" | "--help", *_]:
            print(_help(group))
        case ["--version", *_]:
            print(describe_version())
        case ["--print_completion" | "--print-completion", shell] if shell in SHELLS:
            print(_completion(shell))
        case ["--print_completion" | "--print-completion", *_]:
            raise BadRequestError(f"--print_completion takes one of {', '.join(SHELLS)}")
        case [word, *_]:
            near = difflib.get_close_matches(word, [*known, *FLAGS], n=1, cutoff=0.6)
            nearest = f"; nearest is {near[0]}" if near else ""
            raise BadRequestError(
                f"ep-perf {group} has no {word!r}{nearest} (see -h)".replace("  ", " ")
            )
        case _:
            raise BadRequestError(
                f"which verb? {', '.join(dict.fromkeys(known))} (-h shows examples)"
            )
    return 0


def _help(group: str) -> str:
    about, examples = GROUPS.get(group, (ABOUT, EXAMPLES))
    shown = {w: v.about for w, v in BY_WORDS.items() if w.startswith(group)}
    lines = [
        f"usage: {' '.join(filter(None, ('ep-perf', group)))} VERB [flags]", "", about, "", "verbs:",
        *(f"  {words:<22} {what}" for words, what in shown.items()), "",
        "flags:", "  -h, --help             this, and after a verb what it takes", "  --version",
        f"  --print_completion     for a shell to read: one of {', '.join(SHELLS)}", "",
        "examples:", *(f"  {x}" for x in examples),
    ]  # fmt: skip
    return "\n".join(lines)


def _completion(shell: str) -> str:
    """A script that completes verbs and flags in a shell; raises UserError without what writes it."""
    try:
        import shtab  # no run pays for it
    except ImportError as e:
        raise UserError(
            f"no shtab, which writes completions; `{install_command('shtab')}` fixes it"
        ) from e
    root = argparse.ArgumentParser("ep-perf", add_help=False)
    root.add_argument(*FLAGS[:2], action="store_true", help="show the verbs")
    root.add_argument("--version", action="store_true", help="show the version and the commit")
    groups = {"": root.add_subparsers()}
    for words, verb in BY_WORDS.items():
        group, _, name = words.rpartition(" ")
        if group not in groups:
            groups[group] = groups[""].add_parser(group, help="").add_subparsers()
        parser = importlib.import_module(verb.module).make_parser()
        for action in parser._actions:
            if action.metavar in PATHS:
                action.complete = shtab.FILE
        groups[group].add_parser(name, help=verb.about, parents=[parser], add_help=False)
    return str(shtab.complete(root, shell))
