"""Merges runs of one plan from many hosts: `ep-perf results merge DIR… --run_id ID [-o DIR]`.

Merging again, or in another order, or what was merged before, comes to the same files.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from comparison import noise
from comparison.cell_summary import UnreadableError
from perf.fleet import host_health, layout, merged_tables
from perf.fleet.in_parts import work_in_parts
from perf.fleet.merged_tables import MergedFolder, MergeSummary
from perf.fleet.program import report, say
from perf.fleet.sources import Source, describe, find_sources, require_one_plan
from perf.machine.system import SystemInfo
from perf.planning.plan import HOST_CANARY
from perf.planning.plan_identity import planned_columns
from perf.request.command_parser import CommandParser
from perf.request.options import BadRequestError, check_run_id
from perf.request.programs import command_of
from perf.results import host_records, run_folder
from perf.results.host_records import host_name
from perf.results.run_folder import RunFolder
from perf.schema import atomic_file, codec, record
from perf.schema.cell import safe_name
from perf.schema.merged_run import Fate, MergedRun
from perf.schema.version import stamp
from perf.schema.whole_plan import WholePlan

MODELS_A_PART = 100
OK, INCOMPLETE = 0, 1


@dataclass(frozen=True)
class Merge:
    """A run as it was merged."""

    run: RunFolder
    whole: WholePlan
    merged: MergedRun
    summary: MergeSummary
    hosts: Mapping[str, SystemInfo]
    without: tuple[Path, ...] = ()  # folders that hold no part of it

    @property
    def complete(self) -> bool:
        """Whether every planned cell has a record that can be read, once, of a host that is not flagged."""
        merged = self.merged
        return not (merged.missing or merged.replicas or merged.flagged or self.summary.unreadable)


def merge_runs(
    folders: Sequence[Path], run_id: str, results: Path, fates: Mapping[str, Fate] | None = None
) -> Merge:
    """Merge the runs of one id into `results`; `fates` says, by model, why cells may be missing.

    Raises BadRequestError for what cannot be one run, NewerSchemaError, OSError.
    """
    sources, without = find_sources(folders, run_id)
    run = RunFolder(results, run_id)
    if not sources:
        raise BadRequestError(
            f"{', '.join(map(str, folders[:3]))}: no run {run_id} in any of them; nothing has come back"
        )
    if any(s.root.resolve() == run.root.resolve() and s.whole.shard for s in sources):
        raise BadRequestError(
            f"{run.root}: one of the runs to merge; choose another folder with -o"
        )
    with run_folder.own_run(run, fresh=False):
        before, _ = find_sources([results], run_id)
        sources = [*sources, *(s for s in before if s.root not in {x.root for x in sources})]
        require_one_plan(sources)
        return replace(_merge(sources, run, fates or {}), without=tuple(without))


def _merge(sources: Sequence[Source], run: RunFolder, fates: Mapping[str, Fate]) -> Merge:
    whole = replace(sources[0].whole, shard="")
    roots = list(dict.fromkeys([*(s.root for s in sources), run.root]))
    replicas, most = _lay_out(roots, run.root, whole)
    hosts = _bring_hosts(roots, run.root)
    description = describe(sources)
    flagged = host_health.find_flagged(
        [record.read_record(x.path / "record.json") for x in layout.leaves_of(run.root, HOST_CANARY)],
        hosts, _profile(),
    )  # fmt: skip
    folder = MergedFolder(
        run.results, run.run_id, str(description.get("label", "")), whole, _worst_fates(sources, fates),
        flagged, most - 1,
    )  # fmt: skip
    summary = merged_tables.write_tables(folder, list(hosts.values()))
    missing = {model for model, _ in summary.missing}
    merged = MergedRun(
        shards=tuple(sorted({x for s in sources for x in s.shards}, key=_shard_order)),
        missing=len(summary.missing),
        fates={m: f for m, f in sorted(folder.fates.items()) if m in missing},
        replicas=replicas,
        flagged=flagged,
    )
    _write_description(run, whole, merged, description)
    return Merge(run, whole, merged, summary, hosts)


def _lay_out(roots: Sequence[Path], into: Path, whole: WholePlan) -> tuple[tuple[str, ...], int]:
    """Every record in its place; ids of cells that have several, and the most that one has."""
    having: dict[str, list[Path]] = defaultdict(list)  # by model: few of the roots have it
    for root in roots:
        for model in layout.model_folders(root):
            having[model].append(root)
    folders = sorted(having.items())
    parts = [(folders[i : i + MODELS_A_PART], into) for i in range(0, len(folders), MODELS_A_PART)]
    counts = {k: n for part in work_in_parts(_lay_out_part, parts) for k, n in part.items()}
    ids = {}
    for model in whole.models:
        for cell_id, column in planned_columns(whole, model).items():
            ids[safe_name(model), safe_name(column.name)] = cell_id
    found = {ids[key]: n for key, n in counts.items() if key in ids}
    return tuple(sorted(found)), max(found.values(), default=1)


def _lay_out_part(
    part: tuple[Sequence[tuple[str, Sequence[Path]]], Path],
) -> dict[tuple[str, str], int]:
    folders, into = part
    return {
        (model, target): n
        for model, roots in folders
        for target, n in layout.lay_out_model(roots, model, into).items()
    }


def _bring_hosts(roots: Sequence[Path], into: Path) -> Mapping[str, SystemInfo]:
    """The record of every host, and in host.json what they have in common."""
    hosts = {k: h for root in roots for k, h in host_records.read_host_records(root).items()}
    for host in hosts.values():
        host_records.write_host_record(into, host)
    hosts = dict(sorted(hosts.items()))
    common = host_records.common_facts(list(hosts.values()))
    if common is None:
        (into / "host.json").unlink(missing_ok=True)
    else:
        atomic_file.write_json(into / "host.json", codec.encode(common))
    return hosts


def _write_description(
    run: RunFolder, whole: WholePlan, merged: MergedRun, description: Mapping[str, object]
) -> None:
    cells = [i for model in whole.models for i in planned_columns(whole, model)]
    written = {
        "run_id": run.run_id,
        **description,
        "targets": list(dict.fromkeys(c.target.label for c in whole.columns)),
        "cells": cells,
        "plan": codec.encode(whole),
        "merged": codec.encode(merged),
    }
    atomic_file.write_json(run.root / "run.json", stamp(written))


def _worst_fates(sources: Sequence[Source], given: Mapping[str, Fate]) -> Mapping[str, Fate]:
    """Of what is known of each model, that which says most."""
    out: dict[str, Fate] = {}
    for fates in (given, *(s.merged.fates for s in sources)):
        for model, fate in fates.items():
            out[model] = min(out.get(model, fate), fate, key=list(Fate).index)
    return out


def _shard_order(shard: str) -> tuple[int, ...]:
    return tuple(int(part) for part in reversed(shard.split("/")))


def _profile() -> noise.Profile | None:
    try:
        return noise.read_profile()
    except UnreadableError as e:
        raise BadRequestError(str(e)) from e


def describe_merge(done: Merge) -> Sequence[str]:
    """What a person must know of a merged run, a line each; the last says where it is."""
    merged, out = done.merged, []
    out += [
        f"{folder}: no run {done.run.run_id} there; nothing came back from it"
        for folder in done.without
    ]
    out += [f"{line}; the cell counts as missing" for line in done.summary.unreadable]
    if merged.replicas:
        more = f" and {len(merged.replicas) - 1} more" if len(merged.replicas) > 1 else ""
        out.append(
            f"{merged.replicas[0]}{more}: from more than one host; all are kept, as replicas"
        )
    if done.summary.missing:
        fates = sorted(
            {merged.fates.get(m, Fate.NOT_RETURNED).value for m, _ in done.summary.missing}
        )
        more = f" and {merged.missing - 1} more" if merged.missing > 1 else ""
        out.append(f"{done.summary.missing[0][1]}{more}: NotRun ({', '.join(fates)})")
    for key, text in merged.flagged.items():
        out.append(
            f"host {host_name(key)}: {text}; its cells are marked `{merged_tables.FLAGGED}`"
        )
    out.append(merged_tables.outcomes_line(done.summary))
    names = sorted({h.hostname for h in done.hosts.values()})
    hosts = ", ".join(names) if len(names) <= 6 else f"{len(names)} hosts"
    shards = f"{len(merged.shards)} shards" if len(merged.shards) > 1 else "1 shard"
    out.append(f"run {done.run.run_id} of {shards} on {hosts}; in {done.run.root}")
    return out


def make_parser() -> CommandParser:
    """The flags of a merge."""
    prog = command_of("perf.fleet.merge")
    out = CommandParser(
        prog, "One run from runs of the same plan on many hosts. Merging again changes nothing.",
        examples=(f"{prog} host1/result host2/result --run_id night",),
    )  # fmt: skip
    out.add_argument("folders", nargs="+", type=Path, metavar="DIR",
                     help="folders of results that hold the run, or that are its parts")  # fmt: skip
    out.add_argument("--run_id", required=True, metavar="ID", help="the same on every host")
    out.add_argument("-o", "--output", type=Path, default=Path("result"), metavar="DIR",
                     help="folder of results that the merged run goes to (default result)")  # fmt: skip
    out.add_argument("--strict", action="store_true",
                     help="exit 1 where a cell is missing or came twice, or a host is flagged")  # fmt: skip
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Merge as a command line says; returns the exit status."""
    return report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = make_parser().parse_args(argv)
    check_run_id(args.run_id)
    done = merge_runs(args.folders, args.run_id, args.output.absolute())
    *notes, last = describe_merge(done)
    for line in notes:
        say(line)
    print(last)
    return INCOMPLETE if args.strict and not done.complete else OK


if __name__ == "__main__":
    sys.exit(main())
