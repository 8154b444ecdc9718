"""The command line of a run, parsed once into a frozen record of what was asked for."""

import argparse
import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.request.bad_request import BadRequestError as BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.export_request import RUN_FORMATS, ExportRequest, parse_export, refuse_rivals
from perf.request.fail_on import FailOn, make_fail_on
from perf.request.flag_types import EpOptions, Flag, Shapes, Timeouts
from perf.request.flags import FLAGS, GROUPS
from perf.request.programs import command_of
from perf.stats.sequential_test import StoppingRule

LAUNCHES = 5  # per cell, where nobody says
MOST_PAIRS = 2 * StoppingRule().cap  # of an A/B: a decision, and its confirmation


@dataclass(frozen=True)
class Options:
    """Every flag, typed; what each means stands in perf/request/flag_types.py beside its spelling."""

    running_mode: str
    model_source: tuple[str, ...]
    input_data: str
    inputs: str
    test_times: int | None
    workspace: str
    perf_result_path: str
    fp16: bool
    trtexec: str
    track_memory: bool
    ep_list: tuple[str, ...]
    ep: str
    percent_mismatch: float | None
    rtol: float | None
    atol: float | None
    io_binding: str
    cuda_graph: str
    graph_enablement: str
    trt_ep_options: Mapping[str, str]
    cuda_ep_options: Mapping[str, str]
    models: tuple[str, ...]
    select: str
    rerun: str
    shape: tuple[Shapes, ...]
    custom_ops: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    ep_options: tuple[EpOptions, ...]
    session_config: Mapping[str, str]
    min_ep_share: float
    tf32: bool
    launches: int
    warmup: int
    min_time: float
    max_time: float
    seed: int
    jobs: int
    intra_op_threads: int
    inter_op_threads: int
    cpu_affinity: tuple[int, ...]
    timeout: Timeouts
    memory_limit: float
    fence: bool
    isolation: str
    exec_prefix: str
    backtrace: bool
    env: Mapping[str, str]
    plugin: Mapping[str, str]
    check: bool
    explain: bool
    force: bool
    install: bool
    resume: str
    run_id: str
    label: str
    fail_on: tuple[str, ...]
    strict: bool
    expected: str
    against: str
    across: tuple[str, ...]
    save_baseline: str
    export: tuple[str, ...]
    dry_run: bool
    in_process: bool
    json: bool
    list: bool
    color: str
    verbose: int
    quiet: int
    ab: tuple[str, ...]
    canary: bool
    max_minutes: float
    trt_profile: tuple[str, ...]
    keep_cache: str
    builds: int
    device_time: bool
    retry_throttled: int
    devices: str
    replicas: bool
    lanes: str
    allow_pickle: bool
    shard: str
    shard_costs: str
    map_path: Mapping[str, str]
    host_canary: float | None

    @property
    def validates(self) -> bool:
        """Every set of every model is held against its reference."""
        return self.running_mode in ("validate", "both")

    @property
    def red(self) -> FailOn:
        """What makes the exit status 1."""
        return make_fail_on(self.fail_on, strict=self.strict)

    @property
    def exports(self) -> tuple[ExportRequest, ...]:
        """What is written of the run for other programs."""
        return tuple(parse_export(text, RUN_FORMATS) for text in self.export)

    @property
    def host_canary_every_s(self) -> float:
        """How often the host's canary is measured; inf: first and last alone; 0: never."""
        if self.host_canary is None:
            return math.inf if self.shard else 0.0
        return 60.0 * self.host_canary

    @property
    def benchmarks(self) -> bool:
        """Measure launches are made."""
        return self.running_mode in ("benchmark", "both")


OFTEN = ("-m", "-e", "-k", "-r", "-i", "-t", "-o", "--env", "--list", "--resume")


def make_parser(prog: str = "", epilog: str = "") -> CommandParser:
    """The parser of a run; every switch has its --no_ form."""
    run = prog or command_of("perf.cli.benchmark_wrapper")
    examples = (
        f"{run} -r both -i zoo                  check and time the offline models on what can run here",
        f"{run} net.onnx -e cpu ov              one file on two targets",
        f"{run} -m models -k 'resnet and fp16'  cells by id, of the models in a folder",
    )
    out = CommandParser(
        run, "Run ONNX models on execution providers: is it right, how fast, where did its nodes run.",
        often=OFTEN, examples=examples, epilog=epilog,
    )  # fmt: skip
    out.add_argument(
        "model", nargs="*", metavar="MODEL", help="as -m: a model list, a folder, an .onnx file"
    )
    groups = {title: out.add_argument_group(title) for title in GROUPS}
    for flag in FLAGS:
        group = groups[flag.group]
        group.add_argument(*_spellings(flag), dest=flag.name, help=_help(flag), **_keywords(flag))
        if flag.switch:
            group.add_argument(
                f"--no_{flag.name}",
                dest=flag.name,
                action="store_false",
                default=argparse.SUPPRESS,
                help=argparse.SUPPRESS,
            )
    return out


def parse(argv: Sequence[str]) -> Options:
    """Read a command line; raises BadRequestError with one line for the user."""
    given = _given(argv)
    return build_options({f.name: given.get(f.name, f.default) for f in FLAGS})


def given_flags(argv: Sequence[str], prog: str = "", epilog: str = "") -> frozenset[str]:
    """Names of the flags that a command line really gives."""
    return frozenset(_given(argv, prog, epilog))


def _given(
    argv: Sequence[str], prog: str = "", epilog: str = "", *, stored: bool = False
) -> dict[str, Any]:
    """What a command line gives, by flag; a MODEL is one more --model_source."""
    parser = make_parser(prog, epilog)
    parser.allows_repeats = stored
    given = vars(parser.parse_args([w for w in argv if w != "--"]))
    if models := given.pop("model"):
        given.setdefault("model_source", []).append(models)
    return given


def build_options(values: Mapping[str, Any]) -> Options:
    """Turn flag values, as argparse or run.json hold them, into Options."""
    converted: dict[str, Any] = {}
    for flag in FLAGS:
        try:
            converted[flag.name] = flag.convert(values[flag.name])
        except (ValueError, TypeError) as e:
            raise BadRequestError(f"--{flag.name} {_as_given(values[flag.name])}: {e}") from e
    if converted["launches"] is None:
        converted["launches"] = MOST_PAIRS if converted["ab"] else LAUNCHES
    options = Options(**converted)  # FLAGS and Options hold the same names
    _refuse_conflicts(options)
    return options


def _as_given(value: Any) -> str:
    """A flag's words, of all its uses, as they were typed."""
    if isinstance(value, list | tuple):
        return " ".join(_as_given(v) for v in value)
    return str(value)


def _refuse_conflicts(o: Options) -> None:
    """Refuse flags that contradict each other."""
    if o.exec_prefix and o.isolation == "host":
        raise BadRequestError(
            "--exec_prefix needs --isolation spawn: a forked child cannot be wrapped"
        )
    if o.max_time < o.min_time:
        raise BadRequestError(
            f"--max_time {o.max_time:g} is less than --min_time {o.min_time:g}; raise one"
        )
    if o.shard and o.rerun:
        raise BadRequestError(
            f"--rerun {o.rerun} and --shard {o.shard}: a shard is of a whole plan; leave out one"
        )
    refuse_rivals(o.exports, as_json=o.json)
    if o.red.verdicts and o.fail_on and "any" not in o.fail_on and not o.against:
        raise BadRequestError(
            f"--fail_on {','.join(sorted(o.red.verdicts))}: a verdict needs --against RUN"
        )
    if o.ab and len(o.ab) != 2:
        raise BadRequestError(f"--ab takes two targets, got {len(o.ab)}")
    if o.ab and len(o.shape) > 1:
        raise BadRequestError(
            f"--ab compares one shape at a time, and --shape gives {len(o.shape)}; run it once for each"
        )


def refuse_idle_flags(o: Options) -> None:
    """Refuse flags that need another flag to mean anything; a run that is resumed keeps what it had."""
    if o.max_minutes and not (o.ab or o.resume):
        raise BadRequestError(
            f"--max_minutes {o.max_minutes:g}: it ends a run of --ab alone; leave it out"
        )
    if o.shard_costs and not (o.shard or o.resume):
        raise BadRequestError(
            f"--shard_costs {o.shard_costs}: it balances shards, and no --shard I/N is given"
        )


def _spellings(flag: Flag) -> list[str]:
    longer = [f"--{name}" for name in (flag.name, flag.also) if name]
    return [*([f"-{flag.short}"] if flag.short else []), *longer]


def _help(flag: Flag) -> str:
    """What a flag does, and what it is when left out."""
    if flag.switch:
        return f"{flag.help} (on; --no_{flag.name} turns it off)" if flag.default else flag.help
    shown = isinstance(flag.default, str | int | float) and flag.default not in ("", 0)
    return f"{flag.help} (default {flag.default})" if shown else flag.help


def _keywords(flag: Flag) -> dict[str, Any]:
    keywords: dict[str, Any] = {"default": argparse.SUPPRESS}
    if flag.switch:
        keywords["action"] = "store_true"
    elif flag.counted:
        keywords |= {"action": "count"}
    else:
        keywords |= {"metavar": flag.metavar or flag.name.upper()}
        if flag.nargs:
            keywords["nargs"] = flag.nargs
        if flag.repeated:
            keywords["action"] = "append"
        if flag.const is not None:
            keywords |= {"nargs": "?", "const": flag.const}
        if flag.choices:
            keywords |= {"choices": flag.choices}
    return keywords


def default_jobs() -> int:
    """Set-up launches that may run beside each other: the cores we may use, four at most."""
    return max(1, min(4, len(os.sched_getaffinity(0))))


def check_affinity(options: Options) -> None:
    """Refuse an affinity to cores that this machine does not have."""
    ours = os.sched_getaffinity(0)
    if beyond := sorted(set(options.cpu_affinity) - ours):
        cores = ",".join(str(c) for c in sorted(ours))
        raise BadRequestError(f"--cpu_affinity {beyond[0]}: this machine's cores are {cores}")


# What the folder of results calls its own: the newest run, the memory of failures, saved names,
# the index, the seven tables.
_NO_RUN_ID = re.compile(
    r"latest|verdicts\.jsonl|baselines|history\.sqlite.*|benchmark_.*\.csv", re.I
)


def check_run_id(run_id: str, results: Path | None = None) -> str:
    """A run id names a folder that is not there yet; raises BadRequestError for what cannot be one."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", run_id):
        raise BadRequestError(
            f"--run_id {run_id!r}: use letters, digits, '.', '_' and '-', at most 100"
        )
    if _NO_RUN_ID.fullmatch(run_id):
        raise BadRequestError(
            f"--run_id {run_id}: the folder of results means something else by that name; choose another"
        )
    if results and os.path.lexists(results / run_id):
        raise BadRequestError(
            f"run {run_id} exists in {results}; choose another --run_id, or --resume {run_id}"
        )
    return run_id


def to_argv(argv: Sequence[str], leave_out: Collection[str]) -> list[str]:
    """The flags that `argv` gives, with their values as given, less those named in `leave_out`."""
    given = _given(argv, stored=True)
    out: list[str] = []
    for flag in FLAGS:
        if flag.name in given and flag.name not in leave_out:
            out += _words(flag, given[flag.name])
    return out


def _words(flag: Flag, value: Any) -> list[str]:
    name = f"--{flag.name}"
    if flag.switch:
        return [name if value else f"--no_{flag.name}"]
    if flag.counted:
        return [name] * int(value)
    uses = value if flag.repeated else [value]
    return [w for use in uses for w in (name, *([use] if isinstance(use, str) else use))]
