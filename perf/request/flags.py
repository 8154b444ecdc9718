"""The table of flags: seed 004's, its last version's, and ours."""

from collections.abc import Callable

from perf.request.flag_types import (
    Flag,
    at_least,
    ep_options,
    flat,
    integers,
    io_binding,
    merged_pairs,
    named,
    optional,
    positive,
    prefix,
    shapes,
    timeouts,
    words,
)

_SEED, _WHAT, _HOW, _RUN = "seed 004's", "what to run", "how to run it", "the run itself"


def _share(value: object) -> float:
    number = float(str(value))
    if not 0 <= number <= 1:
        raise ValueError("must lie in 0…1")
    return number


def _chosen(*known: str) -> Callable[[object], str]:
    def convert(value: object) -> str:
        if value not in known:
            raise ValueError(f"use one of {', '.join(known)}")
        return str(value)

    return convert


FLAGS: tuple[Flag, ...] = (
    Flag("running_mode", "validate, benchmark or both", "benchmark", "r", _SEED,
         _chosen("validate", "benchmark", "both"), "MODE"),
    Flag("model_source", "JSON list, directory, or one .onnx file", "model_list.json", "m", _SEED, str, "PATH"),
    Flag("input_data", "random, or zoo (fix): the models' own test data", "random", "i", _SEED,
         lambda v: "zoo" if v == "fix" else _chosen("random", "zoo")(v), "WHENCE"),
    Flag("test_times", "timed runs per measure launch, rotated over the sets; left out: 20, then as many as "
         "fit --min_time, at most 1,000", None, "t", _SEED, optional(at_least(1, int)), "N"),
    Flag("workspace", "TensorRT and trtexec are looked for below it", "./", "w", _SEED, str, "DIR"),
    Flag("perf_result_path", "folder for results; it may hold many runs", "result", "o", _SEED, str, "DIR",
         plan=False),
    Flag("fp16", "include fp16 targets", True, "", _SEED, bool, switch=True),
    Flag("trtexec", "path of trtexec", "", "", _SEED, str, "PATH"),
    Flag("track_memory", "host and GPU memory", True, "z", _SEED, bool, switch=True),
    Flag("ep_list", "targets, as words or one quoted string", (), "e", _SEED, words, "EP", nargs="+",
         repeated=True),
    Flag("ep", "one target", "", "", _SEED, str, "EP"),
    Flag("percent_mismatch", "allowed share of wrong values, in percent", None, "", _SEED,
         optional(at_least(0, float)), "PCT"),
    Flag("rtol", "relative tolerance", None, "", _SEED, optional(at_least(0, float)), "R"),
    Flag("atol", "absolute tolerance", None, "", _SEED, optional(at_least(0, float)), "A"),
    Flag("io_binding", "off: host to host; on: device-resident; both", "off", "b", _SEED, io_binding,
         "on|off|both", const="on"),
    Flag("graph_enablement", "disable, basic, extended, layout or all", "all", "g", _SEED,
         _chosen("disable", "basic", "extended", "layout", "all"), "LEVEL"),
    Flag("trt_ep_options", "k=v,k=v for the TensorRT EP", {}, "", _SEED, merged_pairs, "K=V,…", repeated=True),
    Flag("cuda_ep_options", "k=v,k=v for the CUDA EP, and for it beneath TensorRT", {}, "", _SEED, merged_pairs, "K=V,…", repeated=True),
    Flag("models", "only models whose name matches one of these patterns", (), "", _WHAT, words, "GLOB", nargs="+",
         repeated=True),
    Flag("select", "only cells whose id model::target[variant] matches: words with and, or, not", "", "k",
         _WHAT, str, "EXPR"),
    Flag("rerun", "only cells that failed in the latest run, or one cell id", "", "", _WHAT, str, "failed|ID"),
    Flag("shape", "an input's shape, name=8x3x224x224", (), "", _WHAT, shapes, "NAME=DIMS", "+", repeated=True),
    Flag("ep_options", "options of one target, or with [name] a variant of it: TARGET[name]:key=value,…", (), "",
         _WHAT, ep_options, "TARGET:K=V,…", "+", repeated=True),
    Flag("session_config", "ORT session configuration entry", {}, "", _WHAT, merged_pairs, "K=V", repeated=True),
    Flag("min_ep_share", "least share of nodes on the EP asked for; less is FellBack", 0.0, "", _WHAT, _share,
         "0…1"),
    Flag("tf32", "let fp32 targets use TF32 where the device has it", False, "", _WHAT, bool, switch=True),
    Flag("trt_profile", "optimisation profile name=min:opt:max", (), "", _WHAT, flat, "NAME=MIN:OPT:MAX",
         "+", repeated=True),
    Flag("launches", "measure launches per cell; left out: 5, and with --ab as many as it takes to decide", None, "",
         _HOW, optional(at_least(1, int)), "N"),
    Flag("warmup", "untimed runs before the timed ones", 3, "", _HOW, at_least(0, int), "N"),
    Flag("min_time", "seconds a measure launch should fill when -t is left out", 1.0, "", _HOW,
         at_least(0, float), "S"),
    Flag("max_time", "seconds after which a measure launch stops timing", 60.0, "", _HOW, positive, "S"),
    Flag("seed", "of random inputs and of the order of launches", 0, "", _HOW, at_least(0, int), "N"),
    Flag("jobs", "set-up launches side by side; measure launches are always alone", None, "", _HOW,
         optional(at_least(1, int)), "N", plan=False),
    Flag("intra_op_threads", "0: the engine's own choice", 0, "", _HOW, at_least(0, int), "N"),
    Flag("inter_op_threads", "0: the engine's own choice", 0, "", _HOW, at_least(0, int), "N"),
    Flag("cpu_affinity", "cores a worker may use, 0,2-3", (), "", _HOW, integers, "CPUS"),
    Flag("timeout", "seconds per launch, or build=3600,run=300", "1800", "", _HOW, timeouts, "S|STAGE=S,…"),
    Flag("memory_limit", "MiB of host memory a worker's processes may hold; 0: no limit", 0.0, "", _HOW,
         at_least(0, float), "MIB"),
    Flag("isolation", "host: fork each launch from a process that has imported the engine; spawn: start afresh",
         "host", "", _HOW, _chosen("host", "spawn"), "host|spawn"),
    Flag("exec_prefix", "command to run each worker under; spawn only, no latency is published", "", "", _HOW,
         prefix, "'CMD ARGS'"),
    Flag("env", "an environment by its interpreter", (), "", _HOW, named, "NAME=PYTHON", "+", repeated=True),
    Flag("check", "hold one run against the reference before timing", True, "", _HOW, bool, switch=True),
    Flag("force", "benchmark cells that failed validation too", False, "", _HOW, bool, switch=True),
    Flag("install", "build missing environments", True, "", _HOW, bool, switch=True, plan=False),
    Flag("keep_cache", "share engine caches and converted models between runs in this folder", "", "", _HOW, str, "DIR"),
    Flag("builds", "build engines this many times and report the spread", 1, "", _HOW, at_least(1, int), "N"),
    Flag("retry_throttled", "repeat launches that ran throttled, at most this often", 0, "", _HOW,
         at_least(0, int), "N"),
    Flag("devices", "GPUs to spread models over, by position or UUID, 0,1; left out: the first", "", "", _HOW, str,
         "IDS"),
    Flag("ab", "interleave launches of two targets", (), "", _HOW, words, "TARGET", "+"),
    Flag("canary", "launch a fixed small model beside every launch", False, "", _HOW, bool, switch=True),
    Flag("max_minutes", "stop an --ab run after this long; 0: no limit", 0.0, "", _HOW, at_least(0, float),
         "MIN"),
    Flag("resume", "finish an interrupted run (the latest, or this one)", "", "", _RUN, str, "RUN",
         const="latest", plan=False),
    Flag("run_id", "name of the run's folder", "", "", _RUN, str, "ID", plan=False),
    Flag("label", "a word for this run, in every table", "", "", _RUN, str, "TEXT", plan=False),
    Flag("strict", "exit 1 where a cell did not pass", False, "", _RUN, bool, switch=True, plan=False),
    Flag("dry_run", "print the plan, run nothing", False, "", _RUN, bool, switch=True, plan=False),
    Flag("json", "the plan as JSON", False, "", _RUN, bool, switch=True, plan=False),
    Flag("list", "targets, why each can or cannot run here, what would fix it", False, "", _RUN, bool,
         switch=True, plan=False),
    Flag("verbose", "a line for every launch as it begins", 0, "v", _RUN, int, counted=True, plan=False),
    Flag("quiet", "no line per cell; twice: the last line alone", 0, "q", _RUN, int, counted=True, plan=False),
)  # fmt: skip
