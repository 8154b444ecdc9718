"""Models times targets times variants: the cells of a run, and for each that cannot run, why."""

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from perf.backends import FALLBACK_EP_PREFIX
from perf.machine.gpus import Gpu, gpus_to_use
from perf.machine.topology import TooFewCores, share_out_cores
from perf.planning import ab_sides, form_choice
from perf.planning.targets import Offer, Planned, named_targets
from perf.request import cell_filter, given_data, stored_data, tolerances
from perf.request import model_list as model_files
from perf.request.flag_types import EpOptions, Shapes, spell_shape
from perf.request.locations import models_folder
from perf.request.model_file import digest_file
from perf.request.options import BadRequestError, Options
from perf.schema import shape_profiles
from perf.schema.cell import (
    BUILD_OPTION,
    Cell,
    Environment,
    Io,
    ModelFile,
    Precision,
    Protocol,
    Target,
    Tolerance,
    seal,
)
from perf.schema.whole_plan import Column
from perf.stats.sequential_test import StoppingRule

CANARY = "canary"  # launched beside every launch, so that what the machine does to both can be divided out
HOST_CANARY = "host_canary"  # measured first and last on a host, to see whether the host drifts
LANE_TRIAL = "lane_trial"  # launched on each device while others begin and end, for --lanes
TRIAL_S = 0.3  # what timed runs of such a launch fill: long enough to be seen beside another
CANARY_MODEL = Path("squeezenet/model.onnx")  # of the offline models


# Packages beside an engine that no worker loads: models and test data are read elsewhere.
NO_ENGINE = frozenset(
    (
        "nvidia-ml-py",
        "onnx",
        "onnx-ir",
        "onnx_ir",
        "onnxscript",
        "onnxconverter-common",
        "ml_dtypes",
        "ml-dtypes",
    )
)


def plan_cells(
    models: Sequence[ModelFile],
    offers: Sequence[Offer],
    options: Options,
    only: Callable[[str], bool] = lambda _id: True,
    gpus: tuple[Gpu, ...] = (),
) -> tuple[Planned, ...]:
    """Every cell asked for, models outermost, in the order given; raises BadRequestError for none.

    `gpus` are those this process may use; a model's cells share one, and models take turns with them, or
    with --replicas have a cell on each.
    """
    boards = gpus_to_use(gpus, options.devices)
    _refuse_contradictions(offers, options, boards)
    placed = Placing(gpus, boards, _cores_by_gpu(boards, options), options)
    form_choice.refuse_pickles(models, allowed=options.allow_pickle)
    matches = cell_filter.compile_filter(options.select)
    out = []
    for number, model in enumerate(models):
        board = boards[number % len(boards)] if boards else None
        for offer in form_choice.for_model(model, offers, named=bool(named_targets(options))):
            for cell in _cells_of(model, offer, options):
                out += [
                    placed.on_device(one, offer, on)
                    for one, on in placed.replicate(cell, offer, board)
                    if matches(one.id) and only(one.id)
                ]
    if not out and not options.shard:
        what = f"{len(models)} models and {len(offers)} targets"
        raise BadRequestError(f"nothing to run: no cell of {what} matches --models, -k or --rerun")
    counts = Counter(p.cell.id for p in out)
    if twice := next((i for i, times in counts.items() if times > 1), ""):
        raise BadRequestError(
            f"two cells are named {twice}: give each --ep_options variant a name of its own"
        )
    if options.ab:
        out = ab_sides.choose_sides(options.ab, out)
    if options.canary and options.benchmarks:
        out = [*_plan_canaries(CANARY, offers, options, placed), *out]
    if options.host_canary_every_s and options.benchmarks and out:
        out = [*_one_a_device(_plan_canaries(HOST_CANARY, offers, options, placed)), *out]
    if options.lanes == "auto" and options.benchmarks and out:
        out = [*_plan_lane_trial(offers, options, placed), *out]
    return tuple(out)


def _one_a_device(canaries: Iterable[Planned]) -> tuple[Planned, ...]:
    """A cell for each device, of its first target that runs: a host is slow whatever runs on it."""
    out: dict[str, Planned] = {}
    for planned in canaries:
        if not planned.skip:
            out.setdefault(planned.cell.gpu, planned)
    return tuple(out.values())


@dataclass(frozen=True)
class Placing:
    """Which device cells are put on, and which cores they get where it has a lane of its own."""

    gpus: tuple[Gpu, ...]  # those that this process may use
    boards: tuple[Gpu, ...]  # those that were asked for
    cores: Mapping[str, tuple[int, ...]]  # by UUID; none without lanes
    options: Options

    def replicate(
        self, cell: Cell, offer: Offer, board: Gpu | None
    ) -> Iterator[tuple[Cell, Gpu | None]]:
        """The cell on the device that it is given to; with --replicas one on each."""
        if not self.options.replicas or not self._needs_device(cell, offer):
            yield cell, board
            return
        for one in self.boards:
            part = f"device={self.gpus.index(one)}"
            variant = ",".join(v for v in (cell.variant, part) if v)
            yield (
                replace(cell, variant=variant, id=_cell_id(cell.model, offer, variant)),
                one,
            )

    def on_device(self, cell: Cell, offer: Offer, board: Gpu | None) -> Planned:
        """A cell that is final, on its device where it needs one."""
        if board is not None and self._needs_device(cell, offer):
            place = self.gpus.index(board)
            cell = replace(cell, device=place, gpu=board.uuid, gpu_name=board.name)
            if cores := self.cores.get(board.uuid):
                cell = replace(cell, protocol=replace(cell.protocol, affinity=cores))
        form = form_choice.reason(cell.model, offer.backend)
        if self.options.force:
            return Planned(seal(cell), offer, form)
        unfit = offer.backend.unfit_for(board.compute_capability) if board else ""
        return Planned(seal(cell), offer, offer.missing or unfit or form, offer.probed.failed)

    def _needs_device(self, cell: Cell, offer: Offer) -> bool:
        backend = offer.backend
        takes = backend.takes_gpu(offer.probed.found) and cell.options.get("device") != "cpu"
        return backend.needs_gpu or takes


def _cores_by_gpu(boards: Sequence[Gpu], options: Options) -> Mapping[str, tuple[int, ...]]:
    """CPUs of each device's lane; raises BadRequestError where there are too few."""
    if options.lanes == "off":
        return {}
    usable = options.cpu_affinity or tuple(os.sched_getaffinity(0))
    try:
        cores = share_out_cores(boards, usable)
    except TooFewCores as e:
        raise BadRequestError(f"--lanes: {e}") from e
    return {board.uuid: mine for board, mine in zip(boards, cores, strict=True)}


def _refuse_unused_flags(offers: Sequence[Offer], options: Options) -> None:
    """Raise BadRequestError for a flag of which no target of this run would take notice."""
    for given in options.ep_options:
        if not any(_applies_to(given, o) for o in offers):
            named = ", ".join(o.label for o in offers)
            raise BadRequestError(
                f"--ep_options {given.target}: no target of this run is meant; they are {named}"
            )
    if options.cuda_graph != "off" and not any(o.backend.cuda_graphs for o in offers):
        named = ", ".join(o.label for o in offers)
        raise BadRequestError(
            f"--cuda_graph {options.cuda_graph}: no target of this run captures CUDA graphs ({named}); "
            "the CUDA EP does: -e cuda"
        )
    backends = [o.backend for o in offers]
    taken = {
        name: any(name in (b.options_flag, b.fallback_options_flag) for b in backends)
        for name in ("trt_ep_options", "cuda_ep_options")
    }
    taken["session_config"] = any(b.provider or b.serves_plugins for b in backends)
    taken["trt_profile"] = any(b.takes_profiles for b in backends)
    for name in (n for n, is_taken in taken.items() if getattr(options, n) and not is_taken):
        named = ", ".join(o.label for o in offers)
        raise BadRequestError(f"--{name}: no target of this run takes any ({named}); leave it out")
    if options.builds > 1 and not any(b.builds for b in backends):
        named = ", ".join(o.label for o in offers)
        raise BadRequestError(
            f"--builds {options.builds}: no target of this run builds an engine ({named}); leave it out"
        )


def _refuse_contradictions(
    offers: Sequence[Offer], options: Options, boards: Sequence[Gpu]
) -> None:
    """Raise BadRequestError for what contradicts the targets, the devices, or itself."""
    try:
        shape_profiles.profile_options(options.trt_profile)
    except ValueError as e:
        raise BadRequestError(str(e)) from e
    if not options.rerun:  # one cell of a run may leave out those targets that others were for
        _refuse_unused_flags(offers, options)
    if options.canary and len(boards) > 1:
        raise BadRequestError(
            f"--canary watches one device, and --devices {options.devices} names {len(boards)}"
        )
    asked = [
        f for f, on in (("lanes", options.lanes != "off"), ("replicas", options.replicas)) if on
    ]
    if asked and len(boards) < 2:
        raise BadRequestError(
            f"--{asked[0]} needs two devices or more, and there are {len(boards)} to use: --devices 0,1"
        )
    if options.lanes != "off" and options.ab:
        raise BadRequestError(
            "--ab launches both sides in turn, and --lanes beside each other: leave out one"
        )
    if options.replicas and options.shard:
        raise BadRequestError(
            "--replicas is of one machine's devices, and --shard of many machines"
        )


def _plan_canaries(
    name: str, offers: Sequence[Offer], options: Options, placed: Placing
) -> Iterator[Planned]:
    """A cell of the fixed small model for every target; raises ModelListError where it was not made."""
    for offer in offers:
        cell = _small_cell(name, offer, options)
        if name == HOST_CANARY:  # enough runs to tell a slow host by, whatever -t is
            cell = replace(cell, protocol=replace(cell.protocol, runs=None, min_time_s=0.5))
        yield placed.on_device(cell, offer, next(iter(placed.boards), None))


def _plan_lane_trial(
    offers: Sequence[Offer], options: Options, placed: Placing
) -> Iterator[Planned]:
    """A cell of the fixed small model on each device, which is measured while others begin and end.

    The first target that uses a device stands for all; none is planned where it cannot run.
    """
    for offer in offers:
        cell = _small_cell(LANE_TRIAL, offer, options)
        if placed.on_device(cell, offer, placed.boards[0]).cell.gpu and not offer.missing:
            break
    else:
        return
    runs = replace(cell.protocol, runs=None, min_time_s=TRIAL_S, launches=1)
    for board in placed.boards:
        variant = f"device={placed.gpus.index(board)}"
        named = _cell_id(cell.model, offer, variant)
        one = replace(cell, id=named, variant=variant, protocol=runs)
        yield placed.on_device(one, offer, board)


def _small_cell(name: str, offer: Offer, options: Options) -> Cell:
    """The small model that is always there, by another name; raises ModelListError where it was not made."""
    (found,) = model_files.load_models(models_folder() / CANARY_MODEL)
    model = replace(found, name=name)
    digests = _inputs_digests(model, options, {}, 0)
    return _make_cell(model, offer, options, {}, Io.HOST, "", digests, {})


def group_by_model(planned: Sequence[Planned]) -> list[tuple[ModelFile, list[Planned]]]:
    """The plan's models in order, each with its cells."""
    out: dict[str, tuple[ModelFile, list[Planned]]] = {}
    for p in planned:
        out.setdefault(p.cell.model.name, (p.cell.model, []))[1].append(p)
    return list(out.values())


def _cells_of(model: ModelFile, offer: Offer, options: Options) -> Iterator[Cell]:
    named = [e for e in options.ep_options if _applies_to(e, offer)]
    plain = {k: v for e in named if not e.name for k, v in e.options.items()}
    ios = {"off": (Io.HOST,), "on": (Io.DEVICE,), "both": (Io.HOST, Io.DEVICE)}[options.io_binding]
    asked = itertools.product(options.shape or ({},), options.batch_sizes or (0,))
    fed = [(s, batch, _inputs_digests(model, options, s, batch)) for s, batch in asked]
    graphed = {"off": (False,), "on": (True,), "both": (False, True)}[options.cuda_graph]
    graphs = graphed if offer.backend.cuda_graphs else (False,)  # other targets run as ever
    for extra in (EpOptions("", "", {}), *(e for e in named if e.name)):
        for io, graph, (shapes, batch, digests) in itertools.product(ios, graphs, fed):
            parts = [f"io={io.value}"] if io is Io.DEVICE else []
            parts += ["cuda_graph=on"] if graph else []
            if plain or extra.options:
                parts.append(extra.name or _spell_options(plain))
            if options.session_config:
                parts.append(_spell_options(options.session_config))
            parts += [spell_shape(name, dims) for name, dims in shapes.items()]
            if batch:
                parts.append(f"batch={batch}")
            merged, variant = {**plain, **extra.options}, ",".join(parts)
            made = _make_cell(model, offer, options, merged, io, variant, digests, shapes)
            cell = replace(made, batch=batch)
            for built in expand_builds(cell, options.builds if offer.backend.builds else 1):
                found = _cell_id(model, offer, built.variant)
                yield replace(built, id=found, cuda_graph=graph)


def list_columns(offers: Sequence[Offer], options: Options) -> tuple[Column, ...]:
    """Target and variant of every cell that each model has, in plan order, whatever -k leaves out."""
    some_model = ModelFile("", "", "", "")
    cells = (c for o in offers for c in _cells_of(some_model, o, options))
    return tuple(dict.fromkeys(Column(c.target, c.variant) for c in cells))


def expand_builds(cell: Cell, builds: int) -> tuple[Cell, ...]:
    """The cells of `--builds N`: one a build, each a variant with its own engine; the cell itself for 1."""
    if builds <= 1:
        return (cell,)
    return tuple(
        replace(
            cell,
            variant=",".join(v for v in (cell.variant, f"{BUILD_OPTION}={i}") if v),
            options={**cell.options, BUILD_OPTION: str(i)},
        )
        for i in range(1, builds + 1)
    )


def _make_cell(
    model: ModelFile,
    offer: Offer,
    options: Options,
    extra: Mapping[str, str],
    io: Io,
    variant: str,
    digests: Mapping[bool, str],
    shapes: Shapes,
) -> Cell:
    spec, backend = offer.probed.spec, offer.backend
    label = offer.label
    precision = offer.target.precision
    half_data = precision is Precision.FP16 and model.test_data_fp16 is not None
    flagged: Mapping[str, str] = getattr(options, backend.options_flag, {})
    fallback_options: Mapping[str, str] = getattr(options, backend.fallback_options_flag, {})
    profile = shape_profiles.profile_options(options.trt_profile)
    defaults = spec.options.get(offer.target.label, {})
    return Cell(
        id=_cell_id(model, offer, variant),
        digest="",
        model=model,
        target=Target(offer.target.name, precision, spec.name, label),
        variant=variant,
        provider=spec.plugin.get("ep_name", "") or backend.provider,
        environment=_identifying_versions(offer.probed.environment),
        options={
            **backend.default_options,
            **defaults,
            **(profile if backend.takes_profiles else {}),
            **flagged,
            **{f"{FALLBACK_EP_PREFIX}{k}": v for k, v in fallback_options.items()},
            **extra,
        },
        session_config=options.session_config,
        graph_optimization=options.graph_enablement,
        io=io,
        tf32=options.tf32 or precision is Precision.TF32,
        protocol=_make_protocol(options),
        tolerance=_choose_tolerance(model, precision, options),
        inputs_digest=digests[half_data],
        checked=options.check,
        benchmarked=options.benchmarks,
        min_ep_share=options.min_ep_share,
        plugin={**spec.plugin, **_backend_file_identity(spec.backend)},
        workspace=str(Path(options.workspace).absolute()),
        trtexec=_absolute_program(options.trtexec),
        shapes=shapes,
        form=form_choice.choose_form(model, backend),
    )  # fmt: skip


def _cell_id(model: ModelFile, offer: Offer, variant: str) -> str:
    return f"{model.name}::{offer.label}" + (f"[{variant}]" if variant else "")


def _absolute_program(path: str) -> str:
    """A worker has another working directory: a relative path is made absolute, a bare name left to PATH."""
    return str(Path(path).absolute()) if os.sep in path else path


def _backend_file_identity(path: str) -> dict[str, str]:
    """A backend's file and its digest: an edited one asks another question."""
    if not path:
        return {}
    return {"file": path, "sha256": digest_file(Path(path))}


def _identifying_versions(environment: Environment) -> Environment:
    """Versions that can change an answer; an interpreter's other packages cannot."""
    kept = {k: v for k, v in environment.versions.items() if k.lower() not in NO_ENGINE}
    return replace(environment, versions=dict(sorted(kept.items())))


def _make_protocol(o: Options) -> Protocol:
    return Protocol(
        launches=o.launches, runs=o.test_times or (StoppingRule().runs if o.ab else None),
        warmup=o.warmup, min_time_s=o.min_time,
        max_time_s=o.max_time, seed=o.seed, isolation=o.isolation, instrumented=o.exec_prefix,
        affinity=o.cpu_affinity, intra_op_threads=o.intra_op_threads,
        inter_op_threads=o.inter_op_threads,
    )  # fmt: skip


def _choose_tolerance(model: ModelFile, precision: Precision, o: Options) -> Tolerance:
    default = tolerances.default_tolerance(precision, tf32=o.tf32)
    base = model.tolerances.get(precision.value, default)
    return tolerances.override_tolerance(base, o.rtol, o.atol, o.percent_mismatch)


def _inputs_digests(
    model: ModelFile, options: Options, shapes: Shapes, batch: int
) -> dict[bool, str]:
    """Digest of what will be fed: given or stored data's bytes, or all that random data is made from."""
    out = {}
    for half in (False, True):
        folder = model.test_data_fp16 if half else model.test_data
        if options.inputs:
            out[half] = given_data.digest_given(Path(options.inputs))
            continue
        stored = stored_data.digest_test_data(Path(folder) if folder else None)
        if options.input_data == "random" or not model.test_data:
            made_from: dict[str, object] = {
                "stored": stored,  # shapes and integer ranges come from it
                "seed": options.seed,
                "shapes": {k: list(v) for k, v in sorted(shapes.items())},
                "inputs": sorted((k, repr(v)) for k, v in model.inputs.items()),
            }
            if batch:
                made_from["batch"] = batch
            if types := {k: v.type for k, v in sorted(model.inputs.items()) if v.type}:
                made_from["types"] = types
            stored = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
        out[half] = stored
    return out


def _applies_to(options: EpOptions, offer: Offer) -> bool:
    wanted, _, environment = options.target.lower().partition("@")
    spellings = {offer.target.label.lower(), *(a.lower() for a in offer.target.aliases)}
    return wanted in spellings and (
        not environment or environment == offer.probed.spec.name.lower()
    )


def _spell_options(options: Mapping[str, str]) -> str:
    return ",".join(f"{k}={v}" for k, v in options.items())
