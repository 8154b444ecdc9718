"""What an earlier run says of this one: flags to take up again, cells to run again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from perf.planning.targets import named_targets
from perf.request import options as command_line
from perf.request.flags import FLAGS
from perf.request.options import BadRequestError, Options
from perf.results import run_folder, run_names
from perf.results.run_folder import RunFolder
from perf.schema import codec, outcomes


def resume_options(words: Sequence[str], options: Options) -> Options:
    """The options of the run to be resumed, with this command line's run flags; else as given."""
    if not options.resume:
        return options
    run, stored, old = _stored_run(options, options.resume)
    results = Path(options.perf_result_path).absolute()
    given = command_line.given_flags(words)
    for flag in FLAGS:
        if flag.plan and flag.name in given:
            now, then = getattr(options, flag.name), getattr(old, flag.name)
            if now != then:
                raise BadRequestError(
                    f"--{flag.name} {now!r} differs from {then!r} of run {run.run_id}: "
                    "leave it out to resume, or start a new run"
                )
    now_kept = {f.name: getattr(options, f.name) for f in FLAGS if not f.plan}
    told: dict[str, object] = {
        "resume": run.run_id,
        "run_id": run.run_id,
        "label": options.label or old.label,
        "perf_result_path": options.perf_result_path
        if run.results == results
        else str(run.results),
    }
    if not named_targets(
        old
    ):  # the defaults of that day: what can run here now may be more, or less
        told["ep_list"] = tuple(stored["targets"])
    return replace(old, **(now_kept | told))


def rerun_options(words: Sequence[str], options: Options) -> Options:
    """With `--rerun failed` the options of the run that failed, and this command line's over them."""
    if options.resume or options.rerun != "failed":
        return options
    _, stored, old = _stored_run(options, "latest")
    given = command_line.given_flags(words)
    kept = {f.name: getattr(old, f.name) for f in FLAGS if f.plan and f.name not in given}
    if not named_targets(options) and not named_targets(old):
        kept["ep_list"] = tuple(stored["targets"])
    return replace(options, **kept)


def _stored_run(options: Options, run_id: str) -> tuple[RunFolder, Mapping[str, Any], Options]:
    """An earlier run, its description, and its options; raises BadRequestError where there is none."""
    run = run_names.find_run(Path(options.perf_result_path).absolute(), run_id)
    return run, *stored_options(run)


def stored_options(run: RunFolder) -> tuple[Mapping[str, Any], Options]:
    """What an earlier run's run.json says, and its options; raises BadRequestError."""
    stored = run_folder.read_json(run.root / "run.json")
    if not isinstance(stored, dict) or not {"options", "targets", "cells"} <= set(stored):
        raise BadRequestError(f"{run.root}/run.json cannot be read; start a new run")
    old = {f.name: stored["options"].get(f.name, f.default) for f in FLAGS}
    return stored, command_line.build_options(old)


def original_words(words: Sequence[str], options: Options, results: Path) -> list[str]:
    """The words that made this run: those of the run that is taken up again, and this command line's."""
    reruns_failed = options.rerun == "failed"
    if not options.resume and not reruns_failed:
        return list(words)
    run = run_names.find_run(results, options.resume or "latest")
    told = run_folder.read_json(run.root / "run.json")
    old = [str(word) for word in told.get("command", ())[1:]]
    if options.resume:
        return old
    now_other = command_line.given_flags(words) | {f.name for f in FLAGS if not f.plan}
    return [*command_line.to_argv(old, {*now_other, "rerun"}), *words]


def options_to_json(options: Options) -> dict[str, object]:
    """Options as run.json keeps them."""
    return {f.name: codec.encode(getattr(options, f.name)) for f in FLAGS}


def rerun_filter(options: Options, results: Path) -> Callable[[str], bool]:
    """The cells of the run to be resumed; or --rerun: those that failed in the latest run, or one by id."""
    if options.resume:
        stored = run_folder.read_json(RunFolder(results, options.resume).root / "run.json")
        cells = frozenset(stored["cells"])
        return lambda cell_id: cell_id in cells
    if not options.rerun:
        return lambda _id: True
    if options.rerun != "failed":
        wanted = run_names.find_cell(options.rerun)
        return lambda cell_id: cell_id == wanted
    run = run_names.find_run(results)
    newest = {
        r.cell.id: r for r in sorted(run_folder.read_records(run), key=lambda r: r.finished_at)
    }
    failed = {i for i, r in newest.items() if outcomes.status(r.outcome) == outcomes.FAIL}
    if not failed:
        raise BadRequestError(f"--rerun failed: no cell failed in run {run.run_id}")
    return lambda cell_id: cell_id in failed
