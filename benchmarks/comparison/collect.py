"""Collects fresh A/A launches and launches with a really injected slowdown, for evaluate.py to judge.

    python benchmarks/comparison/collect.py --model light_squeezenet --rounds 500 --out result/aa.jsonl

Each round launches A1 and A2 (the same), and every `--injected_every`-th round also S5, S10 (every
run longer by 5 %, 10 % of the p50, spun inside the timed region), Q20 (a random quarter of the runs
longer by 20 %) and C (the canary, another model), in random order, as children forked from a host
with an engine and no session, on one core and with one thread.
Appends one JSON line per launch; run it as often as you like, at any time of day.
"""

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ARMS = {
    "A1": (0.0, 0.0),
    "A2": (0.0, 0.0),
    "S5": (0.05, 1.0),
    "S10": (0.10, 1.0),
    "Q20": (0.20, 0.25),
    "C": (0.0, 0.0),
}


def launch(
    model: Path, arm: str, p50_ns: int, *, runs: int, core: int, seed: int = 0
) -> list[int]:
    """One forked worker: session, warm-up, timed runs; returns nanoseconds. Raises RuntimeError."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        os.sched_setaffinity(0, {core})
        samples = measure(model, ARMS[arm], p50_ns, runs, seed)
        with os.fdopen(into, "wb") as f:
            f.write(json.dumps(samples).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as f:
        data = f.read()
    status = os.waitpid(pid, 0)[1]
    if status or not data:
        raise RuntimeError(f"a launch of {model.name} ended with status {status}")
    samples_ns: list[int] = json.loads(data)
    return samples_ns


def measure(
    model: Path, slowdown: tuple[float, float], p50_ns: int, runs: int, seed: int
) -> list[int]:
    """Time runs of a fresh session; `slowdown` is a share of p50_ns and the share of runs it hits."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed = {
        i.name: rng.random([d if isinstance(d, int) else 1 for d in i.shape], dtype=np.float32)
        for i in session.get_inputs()
    }
    for _ in range(3):
        session.run(None, feed)
    share, how_many = slowdown
    chance = random.Random(seed)
    spins = [int(share * p50_ns) if chance.random() < how_many else 0 for _ in range(runs)]
    samples = [0] * runs
    clock = time.perf_counter_ns
    for i, spin in enumerate(spins):
        begun = clock()
        session.run(None, feed)
        if spin:
            until = clock() + spin
            while clock() < until:
                pass
        samples[i] = clock() - begun
    return samples


def find(name: str) -> Path:
    """A model file: a path, or the name of one of the light models in the onnx package."""
    if Path(name).is_file():
        return Path(name)
    import importlib.util

    spec = importlib.util.find_spec("onnx")  # located, not imported: the host stays lean
    if spec is None or spec.origin is None:
        raise SystemExit("collect.py: the onnx package is not installed here")
    path = Path(spec.origin).parent / "backend/test/data/light" / f"{name}.onnx"
    if not path.is_file():
        raise SystemExit(f"collect.py: no such model: {name} (looked for {path})")
    return path


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--model", default="light_squeezenet", help="a path, or a light model of onnx"
    )
    parser.add_argument("--canary", default="light_squeezenet", help="the model of arm C")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--max_minutes", type=float, default=30.0)
    parser.add_argument("--injected_every", type=int, default=2)
    parser.add_argument("--runs", type=int, default=20, help="timed runs per launch")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def become_host() -> None:
    """Import the engine, and make sure that forking is safe: one thread. Raises SystemExit."""
    os.environ.update(ORT_DISABLE_TELEMETRY="1", OPENBLAS_NUM_THREADS="1")
    import numpy  # noqa: F401
    import onnxruntime  # noqa: F401

    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise SystemExit(
            "collect.py: the host has more than one thread, so forking it is not safe"
        )


def rounds(args: argparse.Namespace, p50_ns: int) -> Iterator[list[dict[str, object]]]:
    """Launch rounds until their number or the minutes are spent; each is a list of JSON lines."""
    models = dict.fromkeys(ARMS, find(args.model)) | {"C": find(args.canary)}
    chance, campaign = random.Random(), f"{time.time_ns():x}"
    deadline = time.monotonic() + 60 * args.max_minutes
    for number in range(args.rounds):
        if time.monotonic() > deadline:
            return
        arms = [a for a in ARMS if a.startswith("A") or number % args.injected_every == 0]
        chance.shuffle(arms)
        lines: list[dict[str, object]] = []
        for arm in arms:
            began, seed = time.monotonic(), chance.getrandbits(32)
            samples = launch(models[arm], arm, p50_ns, runs=args.runs, core=args.core, seed=seed)
            wall_s = round(time.monotonic() - began, 4)
            lines.append({
                "campaign": campaign, "model": Path(args.model).stem, "round": number, "arm": arm,
                "began_s": round(began, 4), "wall_s": wall_s, "samples_ns": samples,
            })  # fmt: skip
        yield lines


def main() -> int:
    """Collect, appending each round as it ends."""
    args = parse()
    become_host()
    model = find(args.model)
    first = [launch(model, "A1", 0, runs=args.runs, core=args.core) for _ in range(5)]
    p50_ns = int(statistics.median(x for samples in first for x in samples))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    with args.out.open("a", encoding="utf-8") as out:
        for lines in rounds(args, p50_ns):
            out.writelines(json.dumps(x, separators=(",", ":")) + "\n" for x in lines)
            out.flush()
            done += 1
    print(f"{args.out}: p50 {p50_ns / 1e6:.2f} ms, {done} rounds of {model.stem}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
