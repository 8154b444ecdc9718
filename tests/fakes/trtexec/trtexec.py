"""A fake of NVIDIA's trtexec, a program we do not own: takes its version's flags and computes on a CPU.

FAKE_TRTEXEC_VERSION is 8.6, 10.6 or 11.1; FAKE_TRTEXEC names a way of misbehaving, of which "differ" gives
each engine file a speed and rounding of its own. Times are made up: each request takes what FAKE_TRTEXEC_MS
says. FAKE_TRTEXEC_LAYERS is the layer info told of every engine. Every command line is appended to
FAKE_TRTEXEC_LOG, one JSON a line.
"""

import json
import os
import re
import shutil
import signal
import sys
import time
import zlib
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"
LAYERS = os.environ.get("FAKE_TRTEXEC_LAYERS", str(RECORDED / "layers_10.6_fp16.json"))
VERSION = os.environ.get("FAKE_TRTEXEC_VERSION", "10.6")
HOW = os.environ.get("FAKE_TRTEXEC", "")
MS = float(os.environ.get("FAKE_TRTEXEC_MS", "2.5"))


def main(argv: list[str]) -> int:
    help_text = (RECORDED / f"help_{VERSION}.txt").read_text()
    banner = re.sub(r"^&&&& RUNNING | # .*$", "", help_text.splitlines()[0])
    if argv == ["--help"]:
        print(help_text)
        return 0
    if log := os.environ.get("FAKE_TRTEXEC_LOG"):
        with Path(log).open("a") as f:
            f.write(json.dumps(argv) + "\n")
    print(f"&&&& RUNNING {banner} # trtexec {' '.join(argv)}", flush=True)
    args = dict(a.partition("=")[::2] for a in argv)
    known = set(re.findall(r"^  (--\w+)", help_text, re.M))
    if unknown := [a for a in args if a not in known]:
        error(f"Unknown option: {unknown[0]} {args[unknown[0]]}")
        return failed(banner)
    status = misbehave(args)
    if status is None:
        status = build(args) if "--onnx" in args else serve(args)
    if status:
        return failed(banner)
    print(f"&&&& PASSED {banner} # trtexec {' '.join(argv)}", flush=True)
    return 0


def misbehave(args: dict[str, str]) -> int | None:
    timed = "--exportTimes" in args
    if HOW == "hang_timed" and timed:
        time.sleep(600)
    if HOW == "ignore_term":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path("fake_pid").write_text(str(os.getpid()))
        time.sleep(600)
    if HOW == "segfault" or (HOW == "segfault_timed" and timed):
        os.kill(os.getpid(), signal.SIGSEGV)
    if HOW in ("failed_parse", "failed_memory"):
        print((RECORDED / f"{HOW}_10.6.txt").read_text())
        return 1
    return None


def build(args: dict[str, str]) -> int:
    if HOW != "no_engine":
        shutil.copyfile(args["--onnx"], args["--saveEngine"])
    if "--timingCacheFile" in args:
        Path(args["--timingCacheFile"]).write_bytes(b"timings")
    info("Engine built in 0.1 sec.")
    return 0


def serve(args: dict[str, str]) -> int:
    import numpy as np
    import onnxruntime as ort

    session = ort.InferenceSession(args["--loadEngine"], providers=["CPUExecutionProvider"])
    shapes = dict(part.rpartition(":")[::2] for part in split(args.get("--shapes", "")))
    files = dict(part.rpartition(":")[::2] for part in split(args.get("--loadInputs", "")))
    feed = {}
    for given in session.get_inputs():
        kind = np.dtype(
            {"float": "f4", "float16": "f2", "int64": "i8", "bool": "?"}[given.type[7:-1]]
        )
        stored = np.dtype("i4") if kind == np.int64 and VERSION == "8.6" else kind
        dims = (
            [int(d) for d in shapes[given.name].split("x")]
            if given.name in shapes
            else given.shape
        )
        if files.get(given.name) is None:
            error(f"this fake makes no random inputs: {given.name} is not in --loadInputs")
            return 1
        data = np.fromfile(files[given.name], stored)
        if data.size != np.prod(dims):
            error(f"{files[given.name]}: file size mismatch for {given.name} of {dims}")
            return 1
        feed[given.name] = data.reshape([int(d) for d in dims]).astype(kind)
    info("Starting inference")
    own = zlib.crc32(args["--loadEngine"].encode()) / 2**32 if HOW == "differ" else 0.0
    got = [g * g.dtype.type(1 + own * 3e-4) for g in session.run(None, feed)]
    queries = report(args, MS * (1 + own))
    info(f"Warmup completed 3 queries over {args['--warmUp']} ms")
    info(f"Timing trace has {queries:,} queries over 1 s")
    if "--exportOutput" in args and HOW != "no_outputs":
        names = [o.name for o in session.get_outputs()]
        export_outputs(args["--exportOutput"], dict(zip(names, got, strict=True)))
    if "--exportLayerInfo" in args:
        shutil.copyfile(LAYERS, args["--exportLayerInfo"])
    if "--exportProfile" in args:
        shutil.copyfile(RECORDED / "layer_times_10.6.json", args["--exportProfile"])
    return 0


def report(args: dict[str, str], ms: float) -> int:
    """Times of each request; transfers count where this version includes them by default or is told to."""
    queries = max(int(args["--iterations"]), round(float(args["--duration"]) * 1000 / ms))
    time.sleep(
        (int(args["--warmUp"]) + queries * (2 * ms + 1)) / 1000
    )  # with transfers, as times tell
    off = (
        "--includeDataTransfers" not in args if VERSION == "11.1" else "--noDataTransfers" in args
    )
    h2d, d2h = (0.0, 0.0) if off else (0.25, 0.125)
    if "--exportTimes" in args and HOW != "no_times":
        rows = []
        for i in range(queries):
            compute = ms + 0.001 * (i % 7)
            rows.append(
                f'{{ "startEnqMs" : {i * ms:g}, "endEnqMs" : {i * ms + 0.1:g}, "h2dMs" : {h2d:g}, '
                f'"computeMs" : {compute:g}, "d2hMs" : {d2h:g}, "latencyMs" : {h2d + compute + d2h:g} }}\n'
            )
        text = "[\n  " + ", ".join(rows) + "]\n"
        if HOW == "torn_times":
            text = text[: len(text) // 2]
        Path(args["--exportTimes"]).write_text(text)
    return queries


def export_outputs(path: str, outputs: dict[str, object]) -> None:
    import numpy as np

    lines, sep = ["["], "  "
    for name, value in outputs.items():
        array = np.asarray(value)
        words = [f"{v:g}" if array.dtype.kind == "f" else str(int(v)) for v in array.ravel()]
        lines.append(f'{sep}{{ "name" : "{name}"')
        lines.append(f'  , "dimensions" : "{"x".join(map(str, array.shape))}"')
        lines.append(f'  , "values" : [ {", ".join(words)} ]\n  }}')
        sep = ", "
    Path(path).write_text("\n".join([*lines, "]\n"]))


def split(spec: str) -> list[str]:
    return [part for part in spec.split(",") if part]


def info(text: str) -> None:
    print(f"[11/20/2026-10:11:12] [I] {text}", flush=True)


def error(text: str) -> None:
    print(f"[11/20/2026-10:11:12] [E] {text}", flush=True)


def failed(banner: str) -> int:
    print(f"&&&& FAILED {banner}", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
