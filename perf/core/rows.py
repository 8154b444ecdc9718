"""The rows of every table: a field is a column, its metadata the header and what the column means."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

Part: TypeAlias = str | int | float
Value: TypeAlias = Part | bool | tuple[Part, ...] | Mapping[str, Part] | None


def col(meaning: str, header: str = "") -> Any:
    """A column: what it means, and its header where that is not the field's name."""
    return field(metadata={"meaning": meaning, "header": header})


def header_of(row: type) -> tuple[str, ...]:
    """The headers of a row type, in order."""
    return tuple(f.metadata["header"] or f.name for f in fields(row))


@dataclass(frozen=True, kw_only=True)
class CellRow:
    """A planned cell, run or not: everything known of it. Empty is unknown, never 0."""

    # what was asked
    run_id: str = col("the run")
    label: str = col("--label of the run")
    host: str = col("hostname of the machine")
    cell: str = col("model::target[variant], the id that -k and --rerun take")
    digest: str = col("8 hex of everything that can change the answer")
    model: str = col("name in the model list")
    model_sha256: str = col("digest of the ONNX file")
    inputs_digest: str = col("digest of the inputs fed")
    input_shapes: Mapping[str, str] = col("shape of every input, first test set")
    target: str = col("as spelled in tables; @environment only where it is not the default")
    precision: str = col("arithmetic asked for")
    math_mode: str = col("arithmetic allowed: fp32; tf32 (fp32 with TF32 allowed); fp16; …")
    environment: str = col("name in environments.toml")
    versions: Mapping[str, str] = col("of the engine and its parts, as loaded where it loaded")
    variant: str = col("named option set, part of the id")
    provider: str = col("execution provider that nodes must be on; empty: cannot be said")
    options: Mapping[str, str] = col("provider options")
    session_config: Mapping[str, str] = col("session configuration entries")
    graph_optimization: str = col("graph optimisation level")
    io: str = col("host: copies to and from a device are timed; device: bound in device memory")
    isolation: str = col(
        "how launches were started: host (forked), spawn or inprocess (by benchmark.py)"
    )
    seed: int | None = col("of the order of launches and of random inputs")
    intra_op_threads: int | None = col("asked for; 0 is the engine's own choice")
    inter_op_threads: int | None = col("asked for; 0 is the engine's own choice")
    cpu_affinity: tuple[int, ...] = col("cores that launches were pinned to; empty: not pinned")
    instrumented: str = col("--exec_prefix; such a row carries no latency")
    # what came out
    status: str = col("Pass, Fail, Skipped or NotRun")
    outcome: str = col("the exact outcome's name")
    exact_outcome: str = col("with stage, signal or share")
    stage: str = col("where it happened")
    error_type: str = col("runtime error, result accuracy issue, script error; skipped, not run")
    detail: str = col("why, in the words of whoever knew")
    check: str = col("checked; unchecked (--no_check); unreferenced (nothing to hold against)")
    marks: tuple[str, ...] = col("what to know before believing the numbers; empty: nothing")
    finished_at: str = col("when the cell ended, UTC, ISO 8601")
    wall_s: float | None = col("time the cell took, all its launches")
    log: str = col("log of the launch that decided, below the result folder")
    # latency
    launches: int | None = col("measure launches published")
    preempted_launches: int | None = col("of these, kept off the CPU for over 1 % or throttled")
    samples: int | None = col("timed runs, all launches")
    sets: int | None = col("test sets the runs rotated over")
    warmup: int | None = col("untimed runs before, per launch")
    mean_ms: float | None = col("mean of all samples")
    stdev_ms: float | None = col("standard deviation of all samples (n - 1)")
    min_ms: float | None = col("fastest run")
    p50_ms: float | None = col("median of all samples; quantiles are of Hyndman-Fan type 7")
    p90_ms: float | None = col("90th percentile; empty below 29 samples")
    p95_ms: float | None = col("95th percentile; empty below 59 samples")
    p99_ms: float | None = col("99th percentile; empty below 299 samples")
    launch_median_ms: float | None = col("median of the launches' medians")
    launch_mad_ms: float | None = col("spread of the launches' medians: 1.4826 x MAD")
    launch_half_range_ms: float | None = col("spread of the launches' medians: half their range")
    launch_low_ms: float | None = col("order-statistics interval of launch_median_ms, low")
    launch_high_ms: float | None = col("order-statistics interval of launch_median_ms, high")
    launch_level: float | None = col("confidence that this interval has (5 launches: 0.9375)")
    launch_p50s_ms: tuple[float, ...] = col("median of each launch, in the order they ran")
    launch_p25s_ms: tuple[float, ...] = col("25th percentile of each launch, in that order")
    runs_per_s: float | None = col("1000 / mean_ms; a run is one query, whatever its batch")
    floor_us: float | None = col("median of an empty timing, the clock's own share of a sample")
    parts_p50_ms: Mapping[str, float] = col("median of each part of a run that is timed apart")
    synchronised: bool | None = col("whether each sample ended with the device idle")
    gpu_only: bool | None = col("device compute alone, transfers left out")
    cpu_gain_pct: float | None = col("time saved over the CPU EP; empty: its interval holds 0")
    cpu_gain_low_pct: float | None = col("95 % interval of the gain, low")
    cpu_gain_high_pct: float | None = col("95 % interval of the gain, high")
    cpu_gain_pairs: int | None = col("launches paired by round that it rests on")
    # session
    creation_cold_s: float | None = col(
        "first session creation: no engine cached, alone on the machine"
    )
    creation_second_s: float | None = col("session creation again: median of measure launches")
    first_run_ms: float | None = col("first inference of the check launch")
    first_run_second_ms: float | None = col("first inference: median of measure launches")
    engine_cached: bool | None = col("whether measure launches loaded an engine from the cache")
    # memory, above the baseline; add the baseline for the absolute figure
    host_peak_mib: float | None = col("VmHWM less host_baseline_mib, largest launch")
    host_baseline_mib: float | None = col("RSS of that launch when loading began")
    host_tree_peak_mib: float | None = col("RSS of the process tree from outside: an upper bound")
    gpu_peak_mib: float | None = col("NVML's peak less gpu_baseline_mib, largest launch")
    gpu_baseline_mib: float | None = col("GPU memory in that scope before the launch")
    gpu_scope: str = col("process: the worker's tree; device: all there was on the device")
    gpu_by_stage_mib: Mapping[str, float] = col("peak in each stage of that launch, absolute")
    # energy and the GPU's counters over the timed stage
    gpu: str = col("name of the GPU the cell ran on; empty: it needs none")
    gpu_uuid: str = col("that GPU's UUID")
    cpu_energy_j_per_run: float | None = col(
        "RAPL, all CPU packages, others' work included; CPU targets, where readable"
    )
    energy_counter_j_per_run: float | None = col("from the board's energy counter")
    energy_integrated_j_per_run: float | None = col("from power samples, integrated")
    energy_disagreement_pct: float | None = col("integrated less counter, of the counter")
    average_w: float | None = col("mean board power")
    average_above_idle_w: float | None = col("mean board power less idle")
    runs_per_s_per_w: float | None = col("runs_per_s / average_w: measured power")
    runs_per_s_per_board_w: float | None = col("runs_per_s / board limit: a nominal power")
    power_source: str = col("instant; board: what NVML calls usage, on some a mean over 1 s")
    sm_mhz: float | None = col("mean SM clock")
    memory_mhz: float | None = col("mean memory clock")
    temperature_c: float | None = col("highest temperature of a launch")
    throttled_share: float | None = col("share of samples taken while throttled")
    throttle_reasons: tuple[str, ...] = col("clock-event reasons seen")
    gpu_others: int | None = col("most other processes seen on the device")
    # placement: nodes after basic optimisation, subgraphs included
    placement_source: str = col("graph_assignment, profile, or unproven")
    total_ops: int | None = col("nodes assigned to any provider")
    ops_on_ep: int | None = col("nodes on the provider asked for")
    ratio_of_ops_on_ep: float | None = col("ops_on_ep / total_ops; empty for a folded graph")
    partitions_on_ep: int | None = col("subgraphs the provider was given")
    partition_nodes: tuple[int, ...] = col("nodes of each; empty where all are single nodes")
    partition_us: Mapping[str, float] = col("compiled subgraph -> host time of one profiled run")
    host_time_us: float | None = col("host-side kernel time of one profiled run, all providers")
    host_time_on_ep_us: float | None = col("of it on the EP (launch time, if asynchronous)")
    ratio_of_time_on_ep: float | None = col("host_time_on_ep_us / host_time_us")
    ops_elsewhere: Mapping[str, int] = col("provider/operator type -> nodes left on others")
    min_ep_share: float | None = col("--min_ep_share, the gate on ratio_of_ops_on_ep")
    attested_layer_share: float | None = col("share of layers really in the precision asked for")
    attested_time_share: float | None = col("share of layer time really in that precision")
    attested_source: str = col("who attests it")
    precision_regime: str = col(
        "how it was asked for: by a builder's flag, or by the model's types"
    )
    # validation, the worst over outputs and sets
    compared_outputs: int | None = col("outputs held against a reference, over all sets")
    max_abs: float | None = col("largest absolute difference")
    max_rel: float | None = col("largest relative difference")
    relative_norm: float | None = col("largest ||got - reference|| / ||reference||")
    cosine: float | None = col("smallest cosine similarity")
    mismatched_pct: float | None = col("largest share of elements beyond tolerance, of an output")
    worst_output: str = col("set/output with that share")
    worst_index: tuple[int, ...] = col("index of its worst element")
    rtol: float | None = col("relative tolerance: |got - ref| <= atol + rtol |ref|")
    atol: float | None = col("absolute tolerance")
    atol_scaled: bool | None = col("whether atol is times the output's largest |reference|")
    percent_mismatch: float | None = col("share of elements allowed beyond tolerance (%)")
    notes: tuple[str, ...] = col("remarks of workers that change no verdict")


@dataclass(frozen=True, kw_only=True)
class FailRow:
    """A cell that did not pass, what was not tried included."""

    model: str = col("name in the model list")
    ep: str = col("target, and its variant in brackets")
    error_type: str = col(
        "runtime error, result accuracy issue, script error; skipped, not run", "error type"
    )
    error_message: str = col("why, in the words of whoever knew", "error message")
    exact_outcome: str = col("outcome with stage, signal or share", "exact outcome")
    stage: str = col("where it happened")
    cell: str = col("id that -k and --rerun take")
    environment: str = col("name in environments.toml")
    log: str = col("log of the launch that decided, below the result folder")


@dataclass(frozen=True, kw_only=True)
class SuccessRow:
    """A cell that passed: the predecessor's columns with their right meaning, then ours."""

    engine: str = col("onnxruntime, or the program that ran it")
    version: str = col("of the engine, as loaded")
    device: str = col("target, and its variant in brackets")
    fp16: bool = col("whether fp16 was asked for")
    io_binding: bool = col("whether inputs and outputs were bound in device memory")
    graph_optimizations: str = col("graph optimisation level")
    enable_cache: Mapping[str, str] = col("provider options, as the predecessor had them here")
    model_name: str = col("name in the model list")
    inputs: int | None = col("number of inputs")
    batch_size: int | None = col("leading dimension that all inputs share; empty: none")
    sequence_length: int | None = col("2nd dimension, where all inputs are integer matrices")
    datetime: str = col("when the cell ended, UTC, ISO 8601")
    test_times: int | None = col("timed runs, all launches")
    QPS: float | None = col("runs per second: 1000 / mean; a run is one query")
    average_latency_ms: float | None = col("mean of all samples (ms)")
    latency_variance: float | None = col("variance of all samples (ms^2, n - 1)")
    latency_90_percentile: float | None = col("(ms); empty below 29 samples")
    latency_95_percentile: float | None = col("(ms); empty below 59 samples")
    latency_99_percentile: float | None = col("(ms); empty below 299 samples")
    p50_ms: float | None = col("median of all samples")
    spread_ms: float | None = col("half the range of the launches' medians")
    launches: int | None = col("measure launches")
    io: str = col("host: copies are timed; device: bound in device memory")
    math_mode: str = col("arithmetic allowed: fp32; tf32 (fp32 with TF32 allowed); fp16; …")
    check: str = col("checked; unchecked (--no_check); unreferenced")
    exact_outcome: str = col("the exact outcome")
    ratio_of_ops_on_ep: float | None = col("nodes on the provider asked for, of all")
    host_peak_mib: float | None = col("VmHWM above its baseline")
    gpu_peak_mib: float | None = col("GPU memory above its baseline")
    marks: tuple[str, ...] = col("what to know before believing the numbers")
    cell: str = col("id that -k and --rerun take")
    environment: str = col("name in environments.toml")


@dataclass(frozen=True, kw_only=True)
class LatencyPart:
    """A target's columns in the latency table; each header follows the target's name."""

    mean_ms: float | None = col("mean of all samples", "mean (ms)")
    p90_ms: float | None = col("empty below 29 samples", "90th percentile (ms)")
    peak_mib: float | None = col("GPU memory above its baseline", "peak memory usage (MiB)")
    host_mib: float | None = col("VmHWM above its baseline", "peak host memory usage (MiB)")
    p50_ms: float | None = col("median of all samples", "p50 (ms)")
    spread_ms: float | None = col(
        "half the range of the launches' medians", "spread between launches (ms)"
    )
    launches: int | None = col("measure launches", "launches")
    samples: int | None = col("timed runs, all launches", "samples")
    io: str = col("host or device", "io")
    math_mode: str = col("fp32; tf32 (fp32 with TF32 allowed); fp16; …", "math mode")
    status: str = col("Pass, Fail, Skipped or NotRun", "status")
    marks: tuple[str, ...] = col("what to know before believing the numbers", "marks")


@dataclass(frozen=True, kw_only=True)
class GainPart:
    """A gain's columns in the latency table; each header follows the gain's name."""

    percent: float | None = col("(base - subject) * 100 / base; empty: the interval holds 0")
    low: float | None = col("95 % interval, low", "low")
    high: float | None = col("95 % interval, high", "high")
    pairs: int | None = col("launches paired by round", "pairs")


@dataclass(frozen=True, kw_only=True)
class SessionPart:
    """A target's columns in the session table; each header follows the target's name."""

    creation_s: float | None = col(
        "first: no engine cached, alone on the machine", "session creation time (s)"
    )
    second_s: float | None = col("median of measure launches", "second session creation time (s)")
    first_run_ms: float | None = col("first inference of the check launch", "first run (ms)")
    status: str = col("Pass, Fail, Skipped or NotRun", "status")


@dataclass(frozen=True, kw_only=True)
class StatusPart:
    """A target's column in the status table; its header is the target's name."""

    status: str = col("Pass, Fail, Skipped or NotRun; empty: not planned")


@dataclass(frozen=True, kw_only=True)
class MetricsRow:
    """Where the nodes of a cell ran; nodes after basic optimisation, subgraphs included."""

    model: str = col("name in the model list", "Model")
    ep: str = col("target, and its variant in brackets", "EP")
    provider: str = col("the provider asked for: 'ep' below", "provider")
    total_ops: int | None = col("nodes assigned to any provider")
    total_ops_in_trt: int | None = col("nodes on TensorRT; where that was asked for")
    ratio_of_ops_in_trt: float | None = col("of total_ops; where TensorRT was asked for")
    total_execution_time: float | None = col("host-side kernel time of one profiled run (us)")
    total_trt_execution_time: float | None = col("of it on TensorRT (us)")
    ratio_of_execution_time_in_trt: float | None = col("of total_execution_time")
    total_ops_in_ep: int | None = col("nodes on the provider asked for")
    ratio_of_ops_in_ep: float | None = col("of total_ops; empty for a graph folded to nothing")
    total_ep_execution_time: float | None = col("of total_execution_time on the EP (us)")
    ratio_of_execution_time_in_ep: float | None = col("of total_execution_time")
    partitions_in_ep: int | None = col("subgraphs the provider was given")
    ops_elsewhere: Mapping[str, int] = col("provider/operator type -> nodes left on others")
    source: str = col("graph_assignment, profile, or unproven")
    status: str = col("Pass, Fail, Skipped or NotRun")


@dataclass(frozen=True, kw_only=True)
class SystemRow:
    """A fact of the machine or of an environment."""

    spec: str = col("what", "Spec")
    version: str = col("its value", "Version")
