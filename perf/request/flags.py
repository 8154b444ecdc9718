"""The table of flags, in the groups that help shows them in."""

from collections.abc import Callable

from perf.request.export_request import RUN_FORMATS, run_exports
from perf.request.fail_on import parse_names
from perf.request.flag_types import (
    MOST_RUNS,
    Flag,
    at_least,
    batch_sizes,
    below,
    check_baseline,
    environments,
    ep_options,
    flat,
    integers,
    io_binding,
    merged_pairs,
    optional,
    path_map,
    paths,
    plugins,
    positive,
    prefix,
    shapes,
    shard,
    timeouts,
    words,
)
from perf.request.tolerances import MOST_ATOL, MOST_RTOL

GROUPS = (
    "models and their inputs", "targets and their options", "checking outputs", "measuring", "worker processes",
    "environments and engines", "the run and its results", "when it has ended",
)  # fmt: skip
_MODELS, _TARGETS, _CHECKING, _MEASURING, _WORKERS, _ENVIRONMENTS, _RUN, _END = GROUPS


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
    Flag("running_mode", "validate, benchmark or both", "benchmark", "r", _CHECKING,
         _chosen("validate", "benchmark", "both"), "MODE"),
    Flag("model_source", "model lists, folders, files (.onnx, .pt, .ts, .pt2, .plan) or module:function, like MODEL; left out: "
         "./model_list.json, else the ten offline models",
         ("model_list.json",), "m", _MODELS, paths, "PATH", "+", repeated=True),
    Flag("input_data", "random, or zoo (fix): the models' own test data", "random", "i", _MODELS,
         lambda v: "zoo" if v == "fix" else _chosen("random", "zoo")(v), "SOURCE"),
    Flag("inputs", "your own data in place of -i: an .npz of arrays by input name (outputs too, if it holds them), a folder "
         "of test sets or of .npz, or one with such a folder for each model", "", "", _MODELS, str, "FOLDER|FILE.npz"),
    Flag("test_times", "timed runs per measure launch, rotated over the sets; left out: 20, then as many as "
         "fit --min_time, at most 1,000", None, "t", _MEASURING, optional(at_least(1, int, MOST_RUNS)), "N"),
    Flag("workspace", "TensorRT and trtexec are looked for below it", "./", "w", _ENVIRONMENTS, str, "DIR"),
    Flag("perf_result_path", "folder for results; it may hold many runs", "result", "o", _RUN, str, "DIR",
         plan=False, also="results"),
    Flag("fp16", "include fp16 targets", True, "", _TARGETS, bool, switch=True),
    Flag("trtexec", "path of trtexec", "", "", _ENVIRONMENTS, str, "PATH"),
    Flag("track_memory", "host and GPU memory", True, "z", _MEASURING, bool, switch=True),
    Flag("ep_list", "targets, as words or one quoted string", (), "e", _TARGETS, words, "EP", nargs="+",
         repeated=True),
    Flag("ep", "one target", "", "", _TARGETS, str, "EP"),
    Flag("percent_mismatch", "allowed share of wrong values, in percent", None, "", _CHECKING,
         optional(below(100)), "PCT"),
    Flag("rtol", "relative tolerance", None, "", _CHECKING, optional(below(MOST_RTOL)), "R"),
    Flag("atol", "absolute tolerance", None, "", _CHECKING, optional(below(MOST_ATOL)), "A"),
    Flag("io_binding", "off: host to host; on: device-resident; both", "off", "b", _TARGETS, io_binding,
         "on|off|both", const="on"),
    Flag("cuda_graph", "off: a launch a kernel; on: replays of a captured CUDA graph, on the CUDA EP; both", "off", "", _TARGETS,
         io_binding, "on|off|both"),
    Flag("graph_enablement", "disable, basic, extended, layout or all", "all", "g", _TARGETS,
         _chosen("disable", "basic", "extended", "layout", "all"), "LEVEL"),
    Flag("trt_ep_options", "k=v,k=v for the TensorRT EP", {}, "", _TARGETS, merged_pairs, "K=V,…", repeated=True),
    Flag("cuda_ep_options", "k=v,k=v for the CUDA EP, and for it beneath TensorRT", {}, "", _TARGETS, merged_pairs, "K=V,…", repeated=True),
    Flag("models", "only models whose name matches one of these patterns", (), "", _MODELS, words, "GLOB", nargs="+",
         repeated=True),
    Flag("select", "only cells whose id model::target[variant] matches: words with and, or, not", "", "k",
         _MODELS, str, "EXPR"),
    Flag("rerun", "only cells that failed in the latest run, as they were asked for there; or one cell id", "", "", _RUN, str, "failed|ID"),
    Flag("shape", "an input's shape, name=8x3x224x224; several of one input are a cell each", (), "", _MODELS, shapes, "NAME=DIMS", "+", repeated=True),
    Flag("custom_ops", "libraries of custom ops, registered in every ONNX Runtime session of the run", (), "", _MODELS, paths,
         "LIB", "+", repeated=True),
    Flag("batch_sizes", "items fed at once, a cell each: 1,4,32,256", (), "", _MODELS, batch_sizes, "N,N,…", "+", repeated=True),
    Flag("ep_options", "options of one target, or with [name] a variant of it: TARGET[name]:key=value,…", (), "",
         _TARGETS, ep_options, "TARGET:K=V,…", "+", repeated=True),
    Flag("session_config", "ORT session configuration entry", {}, "", _TARGETS, merged_pairs, "K=V", repeated=True),
    Flag("min_ep_share", "least share of nodes on the EP asked for; less is FellBack", 0.0, "", _CHECKING, _share,
         "0…1"),
    Flag("allow_pickle", "load models that are pickles: loading one runs whatever code it holds", False, "", _MODELS,
         bool, switch=True),
    Flag("tf32", "let fp32 targets use TF32 where the device has it", False, "", _TARGETS, bool, switch=True),
    Flag("trt_profile", "optimisation profile name=min:opt:max", (), "", _TARGETS, flat, "NAME=MIN:OPT:MAX",
         "+", repeated=True),
    Flag("launches", "measure launches per cell; left out: 5, and with --ab as many as it takes to decide", None, "",
         _MEASURING, optional(at_least(1, int)), "N"),
    Flag("warmup", "untimed runs before the timed ones", 3, "", _MEASURING, at_least(0, int), "N"),
    Flag("min_time", "seconds a measure launch should fill when -t is left out", 1.0, "", _MEASURING,
         at_least(0, float), "S"),
    Flag("max_time", "seconds after which a measure launch ends its warm-up, and its timing", 60.0, "", _MEASURING, positive, "S"),
    Flag("seed", "of random inputs and of the order of launches", 0, "", _MEASURING, at_least(0, int, 2**63 - 1), "N"),
    Flag("jobs", "set-up launches side by side; measure launches are always alone", None, "", _WORKERS,
         optional(at_least(1, int)), "N", plan=False),
    Flag("intra_op_threads", "0: the engine's own choice", 0, "", _WORKERS, at_least(0, int), "N"),
    Flag("inter_op_threads", "0: the engine's own choice", 0, "", _WORKERS, at_least(0, int), "N"),
    Flag("cpu_affinity", "cores a worker may use, 0,2-3", (), "", _WORKERS, integers, "CPUS"),
    Flag("timeout", "seconds per launch, or build=3600,run=300", "1800", "", _WORKERS, timeouts, "S|STAGE=S,…"),
    Flag("memory_limit", "MiB of host memory a worker's processes may hold; 0: no limit", 0.0, "", _WORKERS,
         at_least(0, float), "MIB"),
    Flag("fence", "keep workers from writing outside their launch folder and cache (Landlock)", True, "", _WORKERS, bool,
         switch=True, plan=False),
    Flag("isolation", "host: fork each launch from a process that has imported the engine; spawn: start afresh",
         "host", "", _WORKERS, _chosen("host", "spawn"), "host|spawn"),
    Flag("exec_prefix", "command to run each worker under; spawn only, no latency is published", "", "", _WORKERS,
         prefix, "'CMD ARGS'"),
    Flag("backtrace", "run what crashed again under gdb, and keep its native stack", False, "", _WORKERS, bool,
         switch=True, plan=False),
    Flag("env", "an environment: an interpreter, or a wheel or 'onnxruntime==1.32.0' that it is built from", (), "",
         _ENVIRONMENTS, environments, "NAME=PYTHON|WHEEL|REQUIREMENTS", "+", repeated=True),
    Flag("plugin", "a plug-in EP by its library, run as target NAME, in environment NAME where there is one", (), "",
         _ENVIRONMENTS, plugins, "NAME=LIBRARY[:EP_NAME]", "+", repeated=True),
    Flag("check", "hold one run against the reference before timing", True, "", _CHECKING, bool, switch=True),
    Flag("explain", "for every mismatch try all that can tell whose fault it is, however long it takes", False, "", _CHECKING,
         bool, switch=True, plan=False),
    Flag("force", "benchmark cells that failed validation too", False, "", _CHECKING, bool, switch=True),
    Flag("install", "build missing environments", True, "", _ENVIRONMENTS, bool, switch=True, plan=False),
    Flag("keep_cache", "share engine caches and converted models between runs in this folder", "", "", _TARGETS, str, "DIR"),
    Flag("builds", "build engines this many times and report the spread", 1, "", _TARGETS, at_least(1, int), "N"),
    Flag("device_time", "launches of their own that tell the device's time of a GPU cell's runs, 5 at most", True, "", _MEASURING,
         bool, switch=True),
    Flag("retry_throttled", "repeat launches that ran throttled, at most this often", 0, "", _MEASURING,
         at_least(0, int), "N"),
    Flag("devices", "GPUs to spread models over, by position or UUID, 0,1; left out: the first", "", "", _TARGETS, str,
         "IDS"),
    Flag("replicas", "run each GPU cell on every device of --devices, a variant [device=N] each, instead of spreading models over them",
         False, "", _TARGETS, bool, switch=True),
    Flag("lanes", "measure on all --devices at once, each with cores of its own: auto, where a trial shows that they do not slow each "
         "other; always; never: those cores, and one device at a time", "off", "", _MEASURING,
         _chosen("off", "auto", "always", "never"), "off|auto|always|never", const="auto"),
    Flag("ab", "interleave launches of two targets", (), "", _MEASURING, words, "TARGET", "+"),
    Flag("canary", "launch a fixed small model beside every launch", False, "", _MEASURING, bool, switch=True),
    Flag("max_minutes", "stop an --ab run after this long; 0: no limit", 0.0, "", _MEASURING, at_least(0, float),
         "MIN"),
    Flag("shard", "part I of N of the models, I from 1, by a hash of their names; results merge", "", "", _RUN,
         shard, "I/N"),
    Flag("shard_costs", "balance shards by what each model took in this run: a folder, an id, or costs.json", "",
         "", _RUN, str, "RUN"),
    Flag("map_path", "a path of the request, or of its model list, that begins with OLD lies at NEW on this host", (), "", _MODELS,
         path_map, "OLD=NEW", "+", repeated=True, plan=False),
    Flag("host_canary", "measure a fixed small model first, last and every MIN minutes; 0: never; left out: first "
         "and last with --shard", None, "", _MEASURING, optional(at_least(0, float)), "MIN"),
    Flag("resume", "finish an interrupted run (the latest, or this one)", "", "", _RUN, str, "RUN",
         const="latest", plan=False),
    Flag("run_id", "name of the run's folder", "", "", _RUN, str, "ID", plan=False),
    Flag("label", "a word for this run, in every table", "", "", _RUN, str, "TEXT", plan=False),
    Flag("fail_on", "what exits 1: outcomes as printed, verdicts of --against, impossible (a latency that cannot be), any or none, Crashed,Slower (default none)", (),
         "", _END, parse_names, "LIST", plan=False),
    Flag("strict", "as --fail_on any", False, "", _END, bool, switch=True, plan=False),
    Flag("expected", "known failures, which are not red; a pass in their place is told", "", "", _END, str, "TOML", plan=False),
    Flag("against", "compare with this earlier run at the end: latest, latest~1, an id, a folder, a saved name", "", "", _END,
         str, "RUN", plan=False),
    Flag("across", "with --against: this difference is the question, as in compare: cpu gpu driver ep_version ...", (), "", _END,
         words, "FIELD", nargs="+", plan=False),
    Flag("save_baseline", "let this name mean this run from now on, if it was not red", "", "", _END,
         lambda name: check_baseline(name) if name else "", "NAME", plan=False),
    Flag("export", f"{', '.join(RUN_FORMATS)}; without PATH to stdout", (), "", _END, run_exports, "FORMAT[=PATH]",
         repeated=True, plan=False),
    Flag("dry_run", "print the plan, run nothing", False, "", _RUN, bool, switch=True, plan=False),
    Flag("in_process", "run everything in this one process, for a debugger, as benchmark.py does", False, "", _WORKERS, bool,
         switch=True, plan=False),
    Flag("json", "JSON on stdout: results; with --dry_run the plan, with --list the table", False, "", _RUN, bool, switch=True, plan=False),
    Flag("list", "targets, why each can or cannot run here, what would fix it", False, "", _ENVIRONMENTS, bool,
         switch=True, plan=False),
    Flag("color", "colours of outcomes: auto (on a terminal, unless NO_COLOR is set), always or never", "auto", "", _RUN,
         _chosen("auto", "always", "never"), "WHEN", plan=False),
    Flag("verbose", "a line for every launch as it begins", 0, "v", _RUN, int, counted=True, plan=False),
    Flag("quiet", "no line per cell; twice: the last line alone", 0, "q", _RUN, int, counted=True, plan=False),
)  # fmt: skip
