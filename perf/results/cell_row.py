"""The long table's row: every column of a planned cell in order, its meaning, and where its value is from."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from perf.results import cell_figures as figures
from perf.results import gains
from perf.results.columns import ColumnSource, draw_row
from perf.results.device_time import summarise_device
from perf.results.latency import (
    Latency,
    count_unchecked_outputs,
    describe_check,
    marks_of,
    summarise_latency,
    summarise_parts,
)
from perf.results.shapes import ShapedRecord
from perf.schema import outcomes
from perf.schema.record import Outcome, Record, check_launch, measure_launches
from perf.stats.summary import PairedGain, ratio, round_fields, rounded


@dataclass(frozen=True)
class RowSubject:
    """What a row is drawn from."""

    shaped: ShapedRecord
    gain: PairedGain | None  # over the CPU EP
    latency: Latency | None
    run_id: str
    label: str
    host: str

    @property
    def record(self) -> Record:
        """What was asked and what came of it."""
        return self.shaped.record

    @property
    def host_bound_pct(self) -> float | None:
        """The share of a run in which the device waits."""
        device = summarise_device(self.record)
        if self.latency is None or device is None:
            return None
        return rounded(device.host_bound_pct(self.latency.summary.p50), 1)

    @property
    def marks(self) -> tuple[str, ...]:
        """What to know before believing the figures; that they are of one of several shapes, too."""
        found, part = marks_of(self.record, self.latency), self.shaped
        if self.latency is None or part.count == 1:
            return found
        return (*found, f"shapes {part.number} of {part.count}")


def make_cell_row(
    shaped: ShapedRecord,
    gain: PairedGain | None,
    *,
    run_id: str,
    label: str = "",
    host: str = "",
) -> "CellRow":
    """The long table's row of a record and one of its input shapes; `gain` is over the CPU EP."""
    latency = summarise_latency(shaped.record)
    host = figures.name_hosts(shaped.record) or host
    return draw_row(CellRow, RowSubject(shaped, gain, latency, run_id, label, host))


of_run = ColumnSource[RowSubject]()
of_shaped = of_run.through(lambda run: run.shaped)
of_record = of_run.through(lambda run: run.record)
of_cell = of_record.through(lambda record: record.cell)
of_protocol = of_cell.through(lambda cell: cell.protocol)
of_tolerance = of_cell.through(lambda cell: cell.tolerance)
of_outcome: ColumnSource[Outcome] = of_record.through(lambda record: record.outcome)
of_latency = of_run.through(lambda run: run.latency)
of_timed = of_latency.through(lambda latency: latency.timed)
of_summary = of_latency.through(lambda latency: round_fields(latency.summary, 6))
of_spread = of_latency.through(lambda latency: round_fields(latency.spread, 6))
of_interval = of_latency.through(lambda latency: latency.spread.interval)
of_gain = of_run.through(lambda run: run.gain)
of_gain_interval = of_gain.through(lambda gain: gain.interval)
of_device = of_run.through(lambda run: summarise_device(run.record) if run.latency else None)
of_cold = of_record.through(figures.find_cold_creation)
of_measured = of_record.through(measure_launches)
of_first_run = of_record.through(check_launch).through(lambda launch: launch.first_run)
of_memory = of_record.through(figures.find_peak_memory)
of_host = of_memory.through(lambda memory: memory.host)
of_gpu = of_memory.through(lambda memory: memory.gpu)
of_counters = of_run.through(
    lambda run: figures.collect_counters(
        run.record, run.latency.runs_per_s if run.latency else None
    )
)
of_placed = of_record.through(figures.find_placed_nodes)
of_evidence = of_record.through(
    lambda record: next((x.attested for x in record.launches if x.attested), None)
)
of_compared = of_record.through(figures.collect_compared)
of_worst = of_record.through(figures.find_worst)


# fmt: off
@dataclass(frozen=True, kw_only=True)
class CellRow:
    """A planned cell, run or not: everything known of it. Empty is unknown, never 0."""

    # what was planned
    run_id: str = of_run("the run", lambda run: run.record.run_id or run.run_id)
    label: str = of_run("--label of the run", lambda run: run.label)
    host: str = of_run("hostname of the machine", lambda run: run.host)
    cell: str = of_cell("model::target[variant], the id that -k and --rerun take", lambda c: c.id)
    digest: str = of_cell("8 hex of everything that can change the answer", lambda c: c.digest)
    model: str = of_cell("name in the model list", lambda c: c.model.name)
    model_sha256: str = of_cell("digest of the ONNX file", lambda c: c.model.sha256)
    inputs_digest: str = of_cell("digest of the inputs fed", lambda c: c.inputs_digest)
    input_shapes: Mapping[str, str] = of_cell("shape of every input; a cell whose test sets differ in it has a row for each", figures.format_shapes)
    target: str = of_cell("as spelled in tables; @environment only where it is not the default", lambda c: c.target.label)
    precision: str = of_cell("arithmetic asked for", lambda c: c.target.precision.value)
    math_mode: str = of_cell("arithmetic allowed: fp32; tf32 (fp32 with TF32 allowed); fp16; …", figures.name_arithmetic)
    environment: str = of_cell("name in environments.toml", lambda c: c.environment.name)
    versions: Mapping[str, str] = of_record("of the engine and its parts, as loaded where it loaded", figures.merge_versions)
    variant: str = of_cell("named option set, part of the id", lambda c: c.variant)
    provider: str = of_cell("execution provider that nodes must be on; empty: cannot be said", lambda c: c.provider)
    options: Mapping[str, str] = of_cell("provider options", lambda c: c.options)
    session_config: Mapping[str, str] = of_cell("session configuration entries", lambda c: c.session_config)
    graph_optimization: str = of_cell("graph optimisation level", lambda c: c.graph_optimization)
    io: str = of_record("host: copies to and from a device are timed; device: bound in device memory", figures.find_io_mode)
    isolation: str = of_protocol("how launches were started: host (forked), spawn or inprocess (by benchmark.py)",
                                 lambda p: p.isolation)
    seed: int | None = of_protocol("of the order of launches and of random inputs", lambda p: p.seed)
    intra_op_threads: int | None = of_protocol("asked for; 0 is the engine's own choice", lambda p: p.intra_op_threads)
    inter_op_threads: int | None = of_protocol("asked for; 0 is the engine's own choice", lambda p: p.inter_op_threads)
    cpu_affinity: tuple[int, ...] = of_protocol("cores that launches were pinned to; empty: not pinned", lambda p: p.affinity)
    instrumented: str = of_protocol("--exec_prefix; such a row carries no latency", lambda p: p.instrumented)
    shape_number: int | None = of_shaped("which of the cell's input shapes this row is of; 1: the first test set's",
                                         lambda x: x.number)
    shape_count: int | None = of_shaped("input shapes of the cell: so many rows have its id", lambda x: x.count)
    inputs_from: tuple[str, ...] = of_cell("where the inputs came from: stored; given (--inputs); random, with seed and range; "
                                           "and what was assumed of them", figures.find_origins)
    cuda_graph: bool | None = of_cell("whether runs were replays of a captured CUDA graph", lambda c: c.cuda_graph)
    # what came out
    status: str = of_outcome("Pass, Fail, Skipped or NotRun", outcomes.status)
    outcome: str = of_outcome("the exact outcome's name", outcomes.name)
    exact_outcome: str = of_outcome("with stage, signal or share", outcomes.exact)
    stage: str = of_outcome("where it happened", outcomes.stage)
    error_type: str = of_outcome("runtime error, result accuracy issue, script error; skipped, not run", outcomes.error_type)
    detail: str = of_outcome("why, in the words of whoever knew", outcomes.detail)
    check: str = of_record("checked; unchecked (--no_check, or outputs of 0 elements); unreferenced (nothing to hold against)", describe_check)
    marks: tuple[str, ...] = of_run("what to know before believing the numbers; empty: nothing", lambda run: run.marks)
    finished_at: str = of_record("when the cell ended, UTC, ISO 8601", lambda r: r.finished_at)
    wall_s: float | None = of_record("time the cell took, all its launches", lambda r: rounded(r.wall_s) or None)
    log: str = of_record("log of the launch that decided, below the result folder", figures.find_log)
    native_stack: tuple[str, ...] = of_record("native stack of a crash, innermost first: function (library); --backtrace",
                                              lambda r: tuple(figures.describe_frame(f) for f in r.native_stack[:figures.TOP_FRAMES]))
    # latency
    launches: int | None = of_spread("measure launches published", lambda s: s.launches)
    preempted_launches: int | None = of_latency("of these, kept off the CPU for over 1 % or throttled", lambda x: x.preempted)
    samples: int | None = of_summary("timed runs, all launches", lambda s: s.n)
    sets: int | None = of_timed("test sets of these shapes that were timed", lambda x: max(t.sets for t in x))
    warmup: int | None = of_timed("untimed runs before, per launch", lambda x: max(t.warmup for t in x))
    mean_ms: float | None = of_summary("mean of all samples", lambda s: s.mean)
    stdev_ms: float | None = of_summary("standard deviation of all samples (n - 1)", lambda s: s.stdev)
    min_ms: float | None = of_summary("fastest run", lambda s: s.minimum)
    p50_ms: float | None = of_summary("median of all samples; quantiles are of Hyndman-Fan type 7", lambda s: s.p50)
    p90_ms: float | None = of_summary("90th percentile; empty below 29 samples", lambda s: s.p90)
    p95_ms: float | None = of_summary("95th percentile; empty below 59 samples", lambda s: s.p95)
    p99_ms: float | None = of_summary("99th percentile; empty below 299 samples", lambda s: s.p99)
    max_ms: float | None = of_summary("slowest run", lambda s: s.maximum)
    launch_median_ms: float | None = of_spread("median of the launches' medians", lambda s: s.median)
    launch_mad_ms: float | None = of_spread("spread of the launches' medians: 1.4826 x MAD", lambda s: s.mad)
    launch_half_range_ms: float | None = of_spread("spread of the launches' medians: half their range", lambda s: s.half_range)
    launch_low_ms: float | None = of_interval("order-statistics interval of launch_median_ms, low", lambda i: rounded(i.low))
    launch_high_ms: float | None = of_interval("order-statistics interval of launch_median_ms, high", lambda i: rounded(i.high))
    launch_level: float | None = of_interval("confidence that this interval has (5 launches: 0.9375)", lambda i: i.level)
    launch_p50s_ms: tuple[float, ...] = of_latency("median of each launch, in the order they ran",
                                                   lambda x: tuple(round(m, 6) for m in x.medians_ms))
    launch_p25s_ms: tuple[float, ...] = of_latency("25th percentile of each launch, in that order",
                                                   lambda x: tuple(round(q, 6) for q in x.quarters_ms))
    runs_per_s: float | None = of_latency("1000 / mean_ms; a run is one query, whatever its batch", lambda x: x.runs_per_s)
    floor_us: float | None = of_timed("median of an empty timing, the clock's own share of a sample",
                                      lambda x: statistics.median(t.floor_ns for t in x) / 1000)
    parts_p50_ms: Mapping[str, float] = of_timed("median of each part of a run that is timed apart", summarise_parts)
    synchronised: bool | None = of_timed("whether each sample ended with the device idle",
                                         lambda x: all(t.synchronised for t in x))
    gpu_only: bool | None = of_timed("device compute alone, transfers left out", lambda x: any(t.gpu_only for t in x))
    cpu_gain_pct: float | None = of_gain("time saved over the CPU EP; empty: its interval holds 0",
                                         lambda g: rounded(g.percent, 4) if g.claimed else None)
    cpu_gain_low_pct: float | None = of_gain_interval("95 % interval of the gain, low", lambda i: rounded(i.low, 4))
    cpu_gain_high_pct: float | None = of_gain_interval("95 % interval of the gain, high", lambda i: rounded(i.high, 4))
    cpu_gain_pairs: int | None = of_gain("launches paired by round that it rests on", lambda g: g.pairs)
    device_ms: float | None = of_device("kernels' own time of a run, by the device's clock: median of launches of their own",
                                        lambda d: rounded(d.spread.median))
    device_half_range_ms: float | None = of_device("spread of these launches: half their range", lambda d: rounded(d.spread.half_range))
    device_launches: int | None = of_device("launches in which the device was watched; none of them is timed by the host",
                                            lambda d: d.spread.launches)
    device_busy_ms: float | None = of_device("time of a run in which kernels, copies or fills were at work", lambda d: rounded(d.busy_ms))
    device_kernels: int | None = of_device("kernels of a run", lambda d: d.kernels)
    device_time_source: str = of_device("who told: cupti, the device's records of its activities; events: events around a run, so that device_ms has waits in it", lambda d: d.source)
    device_launch_p50s_ms: tuple[float, ...] = of_device("kernels' time of each of these launches, in the order they ran",
                                                         lambda d: tuple(round(m, 6) for m in d.medians_ms))
    host_bound_pct: float | None = of_run(
        "share of a run in which the device waits: what p50_ms has more than device_busy_ms", lambda run: run.host_bound_pct)
    accompanied_launches: int | None = of_measured("measure launches that ran beside one on another device (--lanes)",
                                                   lambda x: sum(m.accompanied for m in x) if x else None)
    # session
    creation_cold_s: float | None = of_cold("first session creation: no engine cached, alone on the machine",
                                            lambda created: rounded(created.seconds))
    creation_second_s: float | None = of_measured(
        "session creation again: median of measure launches",
        lambda x: figures.find_median(m.created.seconds for m in x if m.created))
    first_run_ms: float | None = of_first_run("first inference of the check launch", lambda x: rounded(x.seconds * 1000))
    first_run_second_ms: float | None = of_measured(
        "first inference: median of measure launches",
        lambda x: figures.find_median(m.first_run.seconds * 1000 for m in x if m.first_run))
    engine_cached: bool | None = of_measured("whether measure launches loaded an engine from the cache",
                                             figures.were_engines_cached)
    # memory, above the baseline; add the baseline for the absolute figure
    host_peak_mib: float | None = of_host("VmHWM less host_baseline_mib, largest launch",
                                          lambda m: rounded(m.peak_mib - m.baseline_mib, 3))
    host_baseline_mib: float | None = of_host("RSS of that launch when loading began", lambda m: rounded(m.baseline_mib, 3))
    host_tree_peak_mib: float | None = of_memory("RSS of the process tree from outside: an upper bound",
                                                 lambda m: rounded(m.tree_mib, 3))
    gpu_peak_mib: float | None = of_gpu("NVML's peak less gpu_baseline_mib, largest launch",
                                        lambda m: rounded(m.peak_mib - m.baseline_mib, 3))
    gpu_baseline_mib: float | None = of_gpu("GPU memory in that scope before the launch", lambda m: rounded(m.baseline_mib, 3))
    gpu_scope: str = of_gpu("process: the worker's tree; device: all there was on the device", lambda m: m.scope)
    gpu_by_stage_mib: Mapping[str, float] = of_gpu("peak in each stage of that launch, absolute", lambda m: m.by_stage_mib)
    # energy and the GPU's counters over the timed stage
    gpu: str = of_cell("name of the GPU the cell ran on; empty: it needs none", lambda c: c.gpu_name)
    gpu_uuid: str = of_cell("that GPU's UUID", lambda c: c.gpu)
    cpu_energy_j_per_run: float | None = of_counters(
        "RAPL, all CPU packages, others' work included; CPU targets, where readable", lambda c: rounded(c.cpu_j, 9))
    energy_counter_j_per_run: float | None = of_counters("from the board's energy counter", lambda c: rounded(c.counter_j, 9))
    energy_integrated_j_per_run: float | None = of_counters("from power samples, integrated",
                                                            lambda c: rounded(c.integrated_j, 9))
    energy_disagreement_pct: float | None = of_counters("integrated less counter, of the counter", lambda c: c.disagreement_pct)
    average_w: float | None = of_counters("mean board power", lambda c: rounded(c.average_w, 3))
    average_above_idle_w: float | None = of_counters("mean board power less idle", lambda c: rounded(c.above_idle_w, 3))
    runs_per_s_per_w: float | None = of_counters("runs_per_s / average_w: measured power",
                                                 lambda c: ratio(c.runs_per_s, c.average_w))
    runs_per_s_per_board_w: float | None = of_counters(
        "runs_per_s / board limit: a nominal power",
        lambda c: ratio(c.runs_per_s, figures.find_largest(g.board_limit_w for g in c.readings)))
    power_source: str = of_counters("instant; board: what NVML calls usage, on some a mean over 1 s",
                                    lambda c: "+".join(sorted({g.power_source for g in c.readings} - {""})))
    sm_mhz: float | None = of_counters("mean SM clock", lambda c: rounded(c.weigh(lambda g: g.sm_mhz), 1))
    memory_mhz: float | None = of_counters("mean memory clock", lambda c: rounded(c.weigh(lambda g: g.memory_mhz), 1))
    temperature_c: float | None = of_counters("highest temperature of a launch",
                                              lambda c: figures.find_largest(g.temperature_c for g in c.readings))
    throttled_share: float | None = of_counters("share of samples taken while throttled",
                                                lambda c: rounded(c.weigh(lambda g: g.throttled_share)))
    throttle_reasons: tuple[str, ...] = of_counters(
        "clock-event reasons seen", lambda c: tuple(dict.fromkeys(r for g in c.readings for r in g.throttle_reasons)))
    gpu_others: int | None = of_counters("most other processes seen on the device",
                                         lambda c: max((g.others for g in c.readings), default=None))
    # placement: nodes after basic optimisation, subgraphs included
    placement_source: str = of_record("graph_assignment, profile, or unproven", figures.name_placement_source)
    total_ops: int | None = of_placed("nodes assigned to any provider", lambda p: p.total_ops)
    ops_on_ep: int | None = of_placed("nodes on the provider asked for", lambda p: p.ops_on_ep)
    ratio_of_ops_on_ep: float | None = of_placed("ops_on_ep / total_ops; empty for a folded graph",
                                                 lambda p: ratio(p.ops_on_ep, p.total_ops))
    partitions_on_ep: int | None = of_placed("subgraphs the provider was given", lambda p: p.placement.partitions.get(p.provider))
    partition_nodes: tuple[int, ...] = of_placed("nodes of each; empty where all are single nodes",
                                                 lambda p: p.placement.partition_nodes.get(p.provider))
    partition_us: Mapping[str, float] = of_placed("compiled subgraph -> host time of one profiled run",
                                                  lambda p: p.placement.partition_us.get(p.provider))
    host_time_us: float | None = of_placed("host-side kernel time of one profiled run, all providers",
                                           lambda p: rounded(p.time_us, 3))
    host_time_on_ep_us: float | None = of_placed("of it on the EP (launch time, if asynchronous)",
                                                 lambda p: rounded(p.time_on_ep_us, 3))
    ratio_of_time_on_ep: float | None = of_placed("host_time_on_ep_us / host_time_us",
                                                  lambda p: ratio(p.time_on_ep_us, p.time_us))
    ops_elsewhere: Mapping[str, int] = of_placed("provider/operator type -> nodes left on others", lambda p: p.ops_elsewhere)
    min_ep_share: float | None = of_cell("--min_ep_share, the gate on ratio_of_ops_on_ep", lambda c: c.min_ep_share)
    attested_layer_share: float | None = of_evidence("share of layers really in the precision asked for", lambda e: e.layer_share)
    attested_time_share: float | None = of_evidence("share of layer time really in that precision", lambda e: e.time_share)
    attested_source: str = of_evidence("who attests it", lambda e: e.source)
    precision_regime: str = of_evidence("how it was asked for: by a builder's flag, or by the model's types", lambda e: e.regime)
    # validation, the worst over outputs and sets
    compared_outputs: int | None = of_compared("outputs held against a reference, over all sets; without those of 0 elements", figures.count_compared)
    max_abs: float | None = of_compared("largest absolute difference", lambda x: figures.find_largest(c.max_abs for c in x))
    max_rel: float | None = of_compared("largest relative difference", lambda x: figures.find_largest(c.max_rel for c in x))
    relative_norm: float | None = of_compared("largest ||got - reference|| / ||reference||",
                                              lambda x: figures.find_largest(c.relative_norm for c in x))
    cosine: float | None = of_compared("smallest cosine similarity", lambda x: figures.find_smallest(c.cosine for c in x))
    mismatched_pct: float | None = of_worst("largest share of elements beyond tolerance, of an output",
                                            lambda c: 100 * figures.mismatched_share(c))
    worst_output: str = of_worst("set/output with that share", lambda c: f"{c.set}/{c.output}")
    worst_index: tuple[int, ...] = of_worst("index of its worst element", lambda c: c.worst_index)
    reference_noise: float | None = of_compared("what rounding moves a reference by (fp64, inputs one ulp away), share of the output's scale, largest; where a cell mismatched",
                                                lambda x: figures.find_largest(c.reference_noise for c in x))
    from_fp64: float | None = of_worst("worst output's greatest difference from fp64, share of its scale", lambda c: c.from_fp64)
    reference_from_fp64: float | None = of_worst("the same of its reference: the larger of the two is the outlier", lambda c: c.reference_from_fp64)
    not_reproducible: tuple[str, ...] = of_compared("outputs that differ on equal inputs, compared by shape, range, mean and spread of many draws",
                                                    lambda x: tuple(dict.fromkeys(c.output for c in x if not c.reproducible)))
    cause: str = of_outcome("whose fault a mismatch is, in a word or two; the sentence ends `detail`", figures.name_cause)
    rtol: float | None = of_tolerance("relative tolerance: |got - ref| <= atol + rtol |ref|", lambda t: t.rtol)
    atol: float | None = of_tolerance("absolute tolerance", lambda t: t.atol)
    atol_scaled: bool | None = of_tolerance("whether atol is times the output's largest |reference|", lambda t: t.atol_scaled)
    percent_mismatch: float | None = of_tolerance("share of elements allowed beyond tolerance (%)", lambda t: t.percent_mismatch)
    references: Mapping[str, int] = of_compared("what outputs were held against -> how many, over all sets: stored, or made by an engine", figures.count_references)
    unreferenced_outputs: int | None = of_record("outputs with nothing to hold them against, over all sets", lambda r: count_unchecked_outputs(r) if r.launches else None)
    timed_outputs_compared: int | None = of_compared("outputs of the first and last timed run of every launch that were compared too", figures.count_timed_compared)
    notes: tuple[str, ...] = of_record(
        "remarks of workers that change no verdict",
        lambda r: tuple(dict.fromkeys(f"{n.key}: {n.text}" for x in r.launches for n in x.notes)))
# fmt: on


@dataclass(frozen=True)
class CellResult:
    """What a record says of one of its input shapes, and the row of it."""

    record: Record  # with the test sets of these shapes alone
    row: CellRow
    gain: PairedGain | None  # over the CPU EP

    @property
    def column(self) -> str:
        """Its column in a wide table: its target as spelled, and its variant."""
        return gains.column_of(self.record)

    @property
    def is_first(self) -> bool:
        """Whether it is of the first test set's shapes, which stand for the cell where there is room for one."""
        return self.row.shape_number == 1

    @property
    def shapes(self) -> str:
        """Its shapes, where the cell has several: x=8x512; else ""."""
        return format_signature(self.row.input_shapes) if (self.row.shape_count or 1) > 1 else ""


def format_signature(shapes: Mapping[str, str]) -> str:
    """Input shapes as `--shape` takes them: x=8x512 y=8."""
    return " ".join(f"{name}={shape}" for name, shape in shapes.items())
