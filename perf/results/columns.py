"""The rows of every table: a field is a column, its metadata the header and what the column means."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

Part: TypeAlias = str | int | float
Value: TypeAlias = Part | bool | tuple[Part, ...] | Mapping[str, Part] | None


def column(meaning: str, header: str = "") -> Any:
    """A column: what it means, and its header where that is not the field's name."""
    return field(metadata={"meaning": meaning, "header": header})


def column_names(row: type) -> tuple[str, ...]:
    """The headers of a row type, in order."""
    return tuple(f.metadata["header"] or f.name for f in fields(row))


@dataclass(frozen=True, kw_only=True)
class CellRow:
    """A planned cell, run or not: everything known of it. Empty is unknown, never 0."""

    # what was asked
    run_id: str = column("the run")
    label: str = column("--label of the run")
    host: str = column("hostname of the machine")
    cell: str = column("model::target[variant], the id that -k and --rerun take")
    digest: str = column("8 hex of everything that can change the answer")
    model: str = column("name in the model list")
    model_sha256: str = column("digest of the ONNX file")
    inputs_digest: str = column("digest of the inputs fed")
    input_shapes: Mapping[str, str] = column("shape of every input, first test set")
    target: str = column("as spelled in tables; @environment only where it is not the default")
    precision: str = column("arithmetic asked for")
    math_mode: str = column("arithmetic allowed: fp32; tf32 (fp32 with TF32 allowed); fp16; …")
    environment: str = column("name in environments.toml")
    versions: Mapping[str, str] = column("of the engine and its parts, as loaded where it loaded")
    variant: str = column("named option set, part of the id")
    provider: str = column("execution provider that nodes must be on; empty: cannot be said")
    options: Mapping[str, str] = column("provider options")
    session_config: Mapping[str, str] = column("session configuration entries")
    graph_optimization: str = column("graph optimisation level")
    io: str = column("host: copies to and from a device are timed; device: bound in device memory")
    isolation: str = column(
        "how launches were started: host (forked), spawn or inprocess (by benchmark.py)"
    )
    seed: int | None = column("of the order of launches and of random inputs")
    intra_op_threads: int | None = column("asked for; 0 is the engine's own choice")
    inter_op_threads: int | None = column("asked for; 0 is the engine's own choice")
    cpu_affinity: tuple[int, ...] = column("cores that launches were pinned to; empty: not pinned")
    instrumented: str = column("--exec_prefix; such a row carries no latency")
    # what came out
    status: str = column("Pass, Fail, Skipped or NotRun")
    outcome: str = column("the exact outcome's name")
    exact_outcome: str = column("with stage, signal or share")
    stage: str = column("where it happened")
    error_type: str = column(
        "runtime error, result accuracy issue, script error; skipped, not run"
    )
    detail: str = column("why, in the words of whoever knew")
    check: str = column("checked; unchecked (--no_check); unreferenced (nothing to hold against)")
    marks: tuple[str, ...] = column("what to know before believing the numbers; empty: nothing")
    finished_at: str = column("when the cell ended, UTC, ISO 8601")
    wall_s: float | None = column("time the cell took, all its launches")
    log: str = column("log of the launch that decided, below the result folder")
    # latency
    launches: int | None = column("measure launches published")
    preempted_launches: int | None = column("of these, kept off the CPU for over 1 % or throttled")
    samples: int | None = column("timed runs, all launches")
    sets: int | None = column("test sets the runs rotated over")
    warmup: int | None = column("untimed runs before, per launch")
    mean_ms: float | None = column("mean of all samples")
    stdev_ms: float | None = column("standard deviation of all samples (n - 1)")
    min_ms: float | None = column("fastest run")
    p50_ms: float | None = column("median of all samples; quantiles are of Hyndman-Fan type 7")
    p90_ms: float | None = column("90th percentile; empty below 29 samples")
    p95_ms: float | None = column("95th percentile; empty below 59 samples")
    p99_ms: float | None = column("99th percentile; empty below 299 samples")
    launch_median_ms: float | None = column("median of the launches' medians")
    launch_mad_ms: float | None = column("spread of the launches' medians: 1.4826 x MAD")
    launch_half_range_ms: float | None = column(
        "spread of the launches' medians: half their range"
    )
    launch_low_ms: float | None = column("order-statistics interval of launch_median_ms, low")
    launch_high_ms: float | None = column("order-statistics interval of launch_median_ms, high")
    launch_level: float | None = column("confidence that this interval has (5 launches: 0.9375)")
    launch_p50s_ms: tuple[float, ...] = column("median of each launch, in the order they ran")
    launch_p25s_ms: tuple[float, ...] = column("25th percentile of each launch, in that order")
    runs_per_s: float | None = column("1000 / mean_ms; a run is one query, whatever its batch")
    floor_us: float | None = column("median of an empty timing, the clock's own share of a sample")
    parts_p50_ms: Mapping[str, float] = column("median of each part of a run that is timed apart")
    synchronised: bool | None = column("whether each sample ended with the device idle")
    gpu_only: bool | None = column("device compute alone, transfers left out")
    cpu_gain_pct: float | None = column("time saved over the CPU EP; empty: its interval holds 0")
    cpu_gain_low_pct: float | None = column("95 % interval of the gain, low")
    cpu_gain_high_pct: float | None = column("95 % interval of the gain, high")
    cpu_gain_pairs: int | None = column("launches paired by round that it rests on")
    # session
    creation_cold_s: float | None = column(
        "first session creation: no engine cached, alone on the machine"
    )
    creation_second_s: float | None = column("session creation again: median of measure launches")
    first_run_ms: float | None = column("first inference of the check launch")
    first_run_second_ms: float | None = column("first inference: median of measure launches")
    engine_cached: bool | None = column("whether measure launches loaded an engine from the cache")
    # memory, above the baseline; add the baseline for the absolute figure
    host_peak_mib: float | None = column("VmHWM less host_baseline_mib, largest launch")
    host_baseline_mib: float | None = column("RSS of that launch when loading began")
    host_tree_peak_mib: float | None = column(
        "RSS of the process tree from outside: an upper bound"
    )
    gpu_peak_mib: float | None = column("NVML's peak less gpu_baseline_mib, largest launch")
    gpu_baseline_mib: float | None = column("GPU memory in that scope before the launch")
    gpu_scope: str = column("process: the worker's tree; device: all there was on the device")
    gpu_by_stage_mib: Mapping[str, float] = column("peak in each stage of that launch, absolute")
    # energy and the GPU's counters over the timed stage
    gpu: str = column("name of the GPU the cell ran on; empty: it needs none")
    gpu_uuid: str = column("that GPU's UUID")
    cpu_energy_j_per_run: float | None = column(
        "RAPL, all CPU packages, others' work included; CPU targets, where readable"
    )
    energy_counter_j_per_run: float | None = column("from the board's energy counter")
    energy_integrated_j_per_run: float | None = column("from power samples, integrated")
    energy_disagreement_pct: float | None = column("integrated less counter, of the counter")
    average_w: float | None = column("mean board power")
    average_above_idle_w: float | None = column("mean board power less idle")
    runs_per_s_per_w: float | None = column("runs_per_s / average_w: measured power")
    runs_per_s_per_board_w: float | None = column("runs_per_s / board limit: a nominal power")
    power_source: str = column("instant; board: what NVML calls usage, on some a mean over 1 s")
    sm_mhz: float | None = column("mean SM clock")
    memory_mhz: float | None = column("mean memory clock")
    temperature_c: float | None = column("highest temperature of a launch")
    throttled_share: float | None = column("share of samples taken while throttled")
    throttle_reasons: tuple[str, ...] = column("clock-event reasons seen")
    gpu_others: int | None = column("most other processes seen on the device")
    # placement: nodes after basic optimisation, subgraphs included
    placement_source: str = column("graph_assignment, profile, or unproven")
    total_ops: int | None = column("nodes assigned to any provider")
    ops_on_ep: int | None = column("nodes on the provider asked for")
    ratio_of_ops_on_ep: float | None = column("ops_on_ep / total_ops; empty for a folded graph")
    partitions_on_ep: int | None = column("subgraphs the provider was given")
    partition_nodes: tuple[int, ...] = column("nodes of each; empty where all are single nodes")
    partition_us: Mapping[str, float] = column(
        "compiled subgraph -> host time of one profiled run"
    )
    host_time_us: float | None = column("host-side kernel time of one profiled run, all providers")
    host_time_on_ep_us: float | None = column("of it on the EP (launch time, if asynchronous)")
    ratio_of_time_on_ep: float | None = column("host_time_on_ep_us / host_time_us")
    ops_elsewhere: Mapping[str, int] = column("provider/operator type -> nodes left on others")
    min_ep_share: float | None = column("--min_ep_share, the gate on ratio_of_ops_on_ep")
    attested_layer_share: float | None = column(
        "share of layers really in the precision asked for"
    )
    attested_time_share: float | None = column("share of layer time really in that precision")
    attested_source: str = column("who attests it")
    precision_regime: str = column(
        "how it was asked for: by a builder's flag, or by the model's types"
    )
    # validation, the worst over outputs and sets
    compared_outputs: int | None = column("outputs held against a reference, over all sets")
    max_abs: float | None = column("largest absolute difference")
    max_rel: float | None = column("largest relative difference")
    relative_norm: float | None = column("largest ||got - reference|| / ||reference||")
    cosine: float | None = column("smallest cosine similarity")
    mismatched_pct: float | None = column(
        "largest share of elements beyond tolerance, of an output"
    )
    worst_output: str = column("set/output with that share")
    worst_index: tuple[int, ...] = column("index of its worst element")
    rtol: float | None = column("relative tolerance: |got - ref| <= atol + rtol |ref|")
    atol: float | None = column("absolute tolerance")
    atol_scaled: bool | None = column("whether atol is times the output's largest |reference|")
    percent_mismatch: float | None = column("share of elements allowed beyond tolerance (%)")
    notes: tuple[str, ...] = column("remarks of workers that change no verdict")


@dataclass(frozen=True, kw_only=True)
class FailRow:
    """A cell that did not pass, what was not tried included."""

    model: str = column("name in the model list")
    ep: str = column("target, and its variant in brackets")
    error_type: str = column(
        "runtime error, result accuracy issue, script error; skipped, not run", "error type"
    )
    error_message: str = column("why, in the words of whoever knew", "error message")
    exact_outcome: str = column("outcome with stage, signal or share", "exact outcome")
    stage: str = column("where it happened")
    cell: str = column("id that -k and --rerun take")
    environment: str = column("name in environments.toml")
    log: str = column("log of the launch that decided, below the result folder")


@dataclass(frozen=True, kw_only=True)
class SuccessRow:
    """A cell that passed: the predecessor's columns with their right meaning, then ours."""

    engine: str = column("onnxruntime, or the program that ran it")
    version: str = column("of the engine, as loaded")
    device: str = column("target, and its variant in brackets")
    fp16: bool = column("whether fp16 was asked for")
    io_binding: bool = column("whether inputs and outputs were bound in device memory")
    graph_optimizations: str = column("graph optimisation level")
    enable_cache: Mapping[str, str] = column("provider options, as the predecessor had them here")
    model_name: str = column("name in the model list")
    inputs: int | None = column("number of inputs")
    batch_size: int | None = column("leading dimension that all inputs share; empty: none")
    sequence_length: int | None = column("2nd dimension, where all inputs are integer matrices")
    datetime: str = column("when the cell ended, UTC, ISO 8601")
    test_times: int | None = column("timed runs, all launches")
    QPS: float | None = column("runs per second: 1000 / mean; a run is one query")
    average_latency_ms: float | None = column("mean of all samples (ms)")
    latency_variance: float | None = column("variance of all samples (ms^2, n - 1)")
    latency_90_percentile: float | None = column("(ms); empty below 29 samples")
    latency_95_percentile: float | None = column("(ms); empty below 59 samples")
    latency_99_percentile: float | None = column("(ms); empty below 299 samples")
    p50_ms: float | None = column("median of all samples")
    spread_ms: float | None = column("half the range of the launches' medians")
    launches: int | None = column("measure launches")
    io: str = column("host: copies are timed; device: bound in device memory")
    math_mode: str = column("arithmetic allowed: fp32; tf32 (fp32 with TF32 allowed); fp16; …")
    check: str = column("checked; unchecked (--no_check); unreferenced")
    exact_outcome: str = column("the exact outcome")
    ratio_of_ops_on_ep: float | None = column("nodes on the provider asked for, of all")
    host_peak_mib: float | None = column("VmHWM above its baseline")
    gpu_peak_mib: float | None = column("GPU memory above its baseline")
    marks: tuple[str, ...] = column("what to know before believing the numbers")
    cell: str = column("id that -k and --rerun take")
    environment: str = column("name in environments.toml")


@dataclass(frozen=True, kw_only=True)
class LatencyPart:
    """A target's columns in the latency table; each header follows the target's name."""

    mean_ms: float | None = column("mean of all samples", "mean (ms)")
    p90_ms: float | None = column("empty below 29 samples", "90th percentile (ms)")
    peak_mib: float | None = column("GPU memory above its baseline", "peak memory usage (MiB)")
    host_mib: float | None = column("VmHWM above its baseline", "peak host memory usage (MiB)")
    p50_ms: float | None = column("median of all samples", "p50 (ms)")
    spread_ms: float | None = column(
        "half the range of the launches' medians", "spread between launches (ms)"
    )
    launches: int | None = column("measure launches", "launches")
    samples: int | None = column("timed runs, all launches", "samples")
    io: str = column("host or device", "io")
    math_mode: str = column("fp32; tf32 (fp32 with TF32 allowed); fp16; …", "math mode")
    status: str = column("Pass, Fail, Skipped or NotRun", "status")
    marks: tuple[str, ...] = column("what to know before believing the numbers", "marks")


@dataclass(frozen=True, kw_only=True)
class GainPart:
    """A gain's columns in the latency table; each header follows the gain's name."""

    percent: float | None = column("(base - subject) * 100 / base; empty: the interval holds 0")
    low: float | None = column("95 % interval, low", "low")
    high: float | None = column("95 % interval, high", "high")
    pairs: int | None = column("launches paired by round", "pairs")


@dataclass(frozen=True, kw_only=True)
class SessionPart:
    """A target's columns in the session table; each header follows the target's name."""

    creation_s: float | None = column(
        "first: no engine cached, alone on the machine", "session creation time (s)"
    )
    second_s: float | None = column(
        "median of measure launches", "second session creation time (s)"
    )
    first_run_ms: float | None = column("first inference of the check launch", "first run (ms)")
    status: str = column("Pass, Fail, Skipped or NotRun", "status")


@dataclass(frozen=True, kw_only=True)
class StatusPart:
    """A target's column in the status table; its header is the target's name."""

    status: str = column("Pass, Fail, Skipped or NotRun; empty: not planned")


@dataclass(frozen=True, kw_only=True)
class MetricsRow:
    """Where the nodes of a cell ran; nodes after basic optimisation, subgraphs included."""

    model: str = column("name in the model list", "Model")
    ep: str = column("target, and its variant in brackets", "EP")
    provider: str = column("the provider asked for: 'ep' below", "provider")
    total_ops: int | None = column("nodes assigned to any provider")
    total_ops_in_trt: int | None = column("nodes on TensorRT; where that was asked for")
    ratio_of_ops_in_trt: float | None = column("of total_ops; where TensorRT was asked for")
    total_execution_time: float | None = column("host-side kernel time of one profiled run (us)")
    total_trt_execution_time: float | None = column("of it on TensorRT (us)")
    ratio_of_execution_time_in_trt: float | None = column("of total_execution_time")
    total_ops_in_ep: int | None = column("nodes on the provider asked for")
    ratio_of_ops_in_ep: float | None = column("of total_ops; empty for a graph folded to nothing")
    total_ep_execution_time: float | None = column("of total_execution_time on the EP (us)")
    ratio_of_execution_time_in_ep: float | None = column("of total_execution_time")
    partitions_in_ep: int | None = column("subgraphs the provider was given")
    ops_elsewhere: Mapping[str, int] = column("provider/operator type -> nodes left on others")
    source: str = column("graph_assignment, profile, or unproven")
    status: str = column("Pass, Fail, Skipped or NotRun")


@dataclass(frozen=True, kw_only=True)
class SystemRow:
    """A fact of the machine or of an environment."""

    spec: str = column("what", "Spec")
    version: str = column("its value", "Version")
