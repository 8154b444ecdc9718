"""scripts.benchmark_gpu: an exported folder's latency by the model's precision and that of its operators."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perf.backends._native.program import VARIABLE as PROGRAM_VARIABLE
from perf.backends.native_torch_script import NAME as NATIVE
from perf.cli import exported_run, framework_run
from perf.cli.exit_codes import run_and_report
from perf.cli.exported_run import ENTRY, MODEL, read_precision
from perf.cli.framework_run import Asked
from perf.report.framework_tables import Row, format_precisions, format_runtimes
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.programs import command_of
from perf.results import run_folder, run_names
from perf.results.latency import summarise_latency
from perf.schema.record import Record

KEYS = {
    "compile_run_path": "", "n_iter": "100", "n_warmup": "10", "load_ts": "False", "amp_dtype": "fp32",
    "model_precision": "fp32",
}  # fmt: skip
# the target of weights held in one precision and operators run in others
_TARGETS = {
    ("fp32", "fp32"): "", ("fp32", "tf32"): "_tf32", ("fp32", "fp32+fp16"): "_fp32+fp16",
    ("fp32", "fp32+bf16"): "_fp32+bf16", ("fp16", "fp16"): "_fp16", ("bf16", "bf16"): "_bf16",
}  # fmt: skip


def make_parser() -> CommandParser:
    """The flags, beside words such as n_iter=100."""
    prog = command_of("perf.cli.benchmark_gpu")
    parser = CommandParser(
        prog,
        f"Time an exported model. Words: {', '.join(f'{k}={v}' for k, v in KEYS.items())}.",
        examples=(
            f"{prog} compile_run_path=RUN n_iter=100 load_ts=False amp_dtype=fp16",
            f"{prog} compile_run_path=RUN --precisions fp32,fp16,fp32+fp16",
        ),
    )
    parser.add_argument("words", nargs="*", help="key=value")
    parser.add_argument(
        "--precisions", default="", metavar="P,P", help="operators' precisions, a row each"
    )
    parser.add_argument(
        "--with_previous", default="", metavar="RUN", help="an older run for a column beside"
    )
    parser.add_argument(
        "--native",
        default="",
        metavar="PROGRAM",
        help="build/benchmark, timed beside it without Python",
    )
    framework_run.add_flags(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Time what is asked for and print a table; 1 where nothing has a latency."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    given = make_parser().parse_args(argv)
    words = exported_run.read_words(given.words, KEYS)
    exported_run.read_folder(words["compile_run_path"])
    load_ts = exported_run.read_switch(words, "load_ts")
    pairs = _pairs(words, given.precisions)
    if given.native:
        _require_native(given.native, pairs, load_ts=load_ts)
    records = _measure(given, words, pairs, load_ts=load_ts)
    backend = _backend(load_ts=load_ts)
    rows = [_row(records, backend, pair) for pair in pairs]
    before = _previous(given) if given.with_previous else None
    how = "TorchScript" if load_ts else "eager"
    title = f"Python Runtime, {how} ({framework_run.describe_device()})"
    print(format_precisions(rows, title=title, second="amp_dtype", previous=before))
    if given.native:
        python = rows[pairs.index(("fp32", "fp32"))]
        print(f"\n{format_runtimes(python, _native_row(records))}")
    return 0 if any(not r.reason for r in rows) else 1


def _native_row(records: Sequence[Record]) -> Row:
    found = framework_run.find_record(records, "model", NATIVE)
    return Row("fp32", NATIVE, "fp32", found, "" if found else "the run has no such cell")


def _require_native(program: str, pairs: Sequence[tuple[str, str]], *, load_ts: bool) -> None:
    """Raise BadRequestError where the C++ runtime has nothing to stand beside, or is not there."""
    if not load_ts or ("fp32", "fp32") not in pairs:
        raise BadRequestError("--native stands beside load_ts=True in fp32: ask for both")
    if not Path(program).is_file():
        raise BadRequestError(
            f"--native {program}: no such program; make native builds build/benchmark"
        )
    os.environ[PROGRAM_VARIABLE] = str(Path(program).absolute())


def _backend(*, load_ts: bool) -> str:
    return "torch_script" if load_ts else "torch"


def _pairs(words: Mapping[str, str], precisions: str) -> list[tuple[str, str]]:
    """The model's precision and that of its operators, a row each.

    A precision alone for the operators of an fp32 model is autocast's, which leaves some of them in fp32.
    """
    held = read_precision(words["model_precision"], "model_precision")
    if not precisions:
        asked = read_precision(words["amp_dtype"].replace("null", "fp32"), "amp_dtype")
        mixed = held == "fp32" and asked in ("fp16", "bf16")
        return [(held, f"fp32+{asked}" if mixed else asked)]
    out = []
    for text in precisions.split(","):
        asked = read_precision(text, "--precisions")
        out.append((asked if asked in ("fp16", "bf16") else held, asked))
    return list(dict.fromkeys(out))


def _measure(
    given: Any, words: Mapping[str, str], pairs: Sequence[tuple[str, str]], *, load_ts: bool
) -> tuple[Record, ...]:
    folder = Path(words["compile_run_path"]).absolute()
    backend = _backend(load_ts=load_ts)
    targets = [backend + _TARGETS[p] for p in pairs if p in _TARGETS]
    targets += [NATIVE] if given.native else []
    if not targets:
        return ()
    row = {
        "model_name": "model", "working_directory": str(folder),
        "torch": MODEL if load_ts else f"{ENTRY}:model",
    }  # fmt: skip
    numbers = [str(exported_run.read_number(words, k)) for k in ("n_iter", "n_warmup")]
    return framework_run.run_cells(
        [row], targets, ["-t", numbers[0], "--warmup", numbers[1]], Asked.of(given)
    )


def _row(records: Sequence[Record], backend: str, pair: tuple[str, str]) -> Row:
    held, asked = pair
    if pair not in _TARGETS:
        why = (
            "autocast casts to one type: Torch-TensorRT takes such a combination (torch_tensorrt)"
        )
        return Row(held, backend, asked, None, why)
    found = framework_run.find_record(records, "model", backend + _TARGETS[pair])
    return Row(held, backend, asked, found, "" if found else "the run has no such cell")


def _previous(given: Any) -> dict[tuple[str, str], float]:
    """Mean latencies of an older run by the same two precisions; raises BadRequestError for no such run."""
    path = Path(given.with_previous)
    run = (
        run_names.find_run(path.parent, path.name)
        if (path / "run.json").is_file()
        else run_names.find_run(Path(given.perf_result_path), given.with_previous)
    )
    pairs = {suffix: pair for pair, suffix in _TARGETS.items()}
    out = {}
    for record in run_folder.read_records(run):
        _, mark, precision = record.cell.target.label.partition("@")[0].rpartition("_")
        pair = pairs.get(f"{mark}{precision}") or ("fp32", "fp32")
        if latency := summarise_latency(record):
            out[pair] = latency.summary.mean
    if not out:
        raise BadRequestError(f"--with_previous {given.with_previous}: no latency in that run")
    return out


if __name__ == "__main__":
    sys.exit(main())
