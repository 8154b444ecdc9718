"""Collects fresh A/A comparisons and comparisons with a really injected slowdown, for evaluate.py to judge.

    python benchmarks/comparison/collect.py --model light_squeezenet --blocks 50 --out result/aa.jsonl

A block is what an A/B run is: two fresh hosts, one a side, each with an engine and no session, and rounds
of launches forked from them in random order, one thread on one core, until the rule has decided every arm.
Side A launches A1. Side B launches A2 (the same) and, in every `--injected_every`-th block, S5 and S10
(every run longer by 5 %, 10 % of the p50, spun inside the timed region) and Q20 (a random quarter of the
runs longer by 20 %), with a canary of another model on either side (CA, CB) for the first rounds. Appends
a JSON line per launch; run it as often as you like, at any time of day.
"""

import argparse
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from perf.stats.sequential_test import StoppingRule, Undecided, decide  # noqa: E402

SLOWDOWNS = {
    "S5": (0.05, 1.0),
    "S10": (0.10, 1.0),
    "Q20": (0.20, 0.25),
}  # share of p50, of the runs
FIRST_ROUNDS = 10  # launches of every arm of a block, decided or not: what stored runs are made of
MOST_ROUNDS = 2 * StoppingRule().cap


def serve() -> int:
    """Be a host: import the engine, then fork a worker for every request on stdin."""
    os.environ.update(ORT_DISABLE_TELEMETRY="1", OPENBLAS_NUM_THREADS="1")
    import numpy  # noqa: F401
    import onnxruntime  # noqa: F401

    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise SystemExit("collect.py: the host has more than one thread: forking is not safe")
    for text in sys.stdin:
        print(json.dumps(measure_in_worker(json.loads(text))), flush=True)
    return 0


def measure_in_worker(request: Mapping[str, object]) -> list[int]:
    """Nanoseconds from one worker. Raises RuntimeError where it died."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with os.fdopen(writer, "wb") as f:
            f.write(json.dumps(measure(request)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as f:
        data = f.read()
    status = os.waitpid(pid, 0)[1]
    if status or not data:
        raise RuntimeError(f"a worker ended with status {status}")
    samples_ns: list[int] = json.loads(data)
    return samples_ns


def measure(request: Mapping[str, object]) -> list[int]:
    """Time runs of a fresh session, longer by what the request's arm injects."""
    import numpy as np
    import onnxruntime as ort

    os.sched_setaffinity(0, {int(str(request["core"]))})
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(request["model"]), options, ["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed = {
        i.name: rng.random([d if isinstance(d, int) else 1 for d in i.shape], dtype=np.float32)
        for i in session.get_inputs()
    }
    for _ in range(3):
        session.run(None, feed)
    share, chance = SLOWDOWNS.get(str(request["arm"]), (0.0, 0.0))
    dice, spin_ns = random.Random(str(request["seed"])), int(share * int(str(request["p50_ns"])))
    spins = [spin_ns if dice.random() < chance else 0 for _ in range(StoppingRule().runs)]
    samples, clock = [0] * len(spins), time.perf_counter_ns
    for i, spin in enumerate(spins):
        begun = clock()
        session.run(None, feed)
        if spin:
            until = clock() + spin
            while clock() < until:
                pass
        samples[i] = clock() - begun
    return samples


class Host:
    """A process that forks workers, with a memory layout of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--host"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # fmt: skip

    def launch(self, **request: object) -> list[int]:
        """Nanoseconds of one launch. Raises RuntimeError where the host is gone."""
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        if pipe_in is None or pipe_out is None:
            raise RuntimeError("the host has no pipes")
        print(json.dumps(request), file=pipe_in, flush=True)
        samples_ns: list[int] = json.loads(pipe_out.readline() or "null")
        if not samples_ns:
            raise RuntimeError("the host died")
        return samples_ns

    def close(self) -> None:
        """End it."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


def measure_block(
    args: argparse.Namespace, p50_ns: int, *, injected: bool
) -> Iterator[Mapping[str, object]]:
    """Rounds of one block; an arm leaves when the rule has decided it."""
    model, canary = str(find_model(args.model)), str(find_model(args.canary))
    hosts = {"A": Host(), "B": Host()}
    arms = ["A2", *SLOWDOWNS] if injected else ["A2"]
    samples: dict[str, dict[int, list[int]]] = {arm: {} for arm in ("A1", *arms, "CA", "CB")}
    for number in range(MOST_ROUNDS):
        early = number < FIRST_ROUNDS
        going = [a for a in arms if early or is_undecided(samples["A1"], samples[a])]
        if not going:
            break
        canaries = ["CA", "CB"] if injected and early else []
        for arm in random.sample(names := ["A1", *going, *canaries], len(names)):
            began = time.monotonic()
            samples[arm][number] = hosts["A" if arm in ("A1", "CA") else "B"].launch(
                model=canary if arm in canaries else model, arm=arm, p50_ns=p50_ns, core=args.core,
                seed=random.random(),
            )  # fmt: skip
            yield {
                "round": number, "arm": arm, "began_s": round(began, 4),
                "wall_s": round(time.monotonic() - began, 4), "samples_ns": samples[arm][number],
            }  # fmt: skip
    for host in hosts.values():
        host.close()


def is_undecided(a: Mapping[int, list[int]], b: Mapping[int, list[int]]) -> bool:
    """Whether the rule asks for more pairs."""
    pairs = [(a[n], b[n]) for n in sorted(a.keys() & b.keys())]
    return isinstance(decide(pairs, StoppingRule()), Undecided)


def find_model(name: str) -> Path:
    """A model file: a path, or the name of one of the light models in the onnx package."""
    spec = importlib.util.find_spec("onnx")
    light = (
        Path(spec.origin).parent / "backend/test/data/light" if spec and spec.origin else Path()
    )
    for path in (Path(name), light / f"{name}.onnx"):
        if path.is_file():
            return path
    raise SystemExit(f"collect.py: no such model: {name}, nor {light / name}.onnx")


def main() -> int:
    """Collect blocks until their number or the minutes are spent, appending each as it ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    light = "light_squeezenet"
    parser.add_argument("--model", default=light, help="a path, or a light model of onnx")
    parser.add_argument("--canary", default=light, help="model of the canaries")
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--max_minutes", type=float, default=30.0)
    parser.add_argument("--injected_every", type=int, default=3)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    host, name = Host(), Path(args.model).stem
    request = {"model": str(find_model(args.model)), "arm": "A1", "p50_ns": 0, "seed": 0}
    medians = [statistics.median(host.launch(**request, core=args.core)) for _ in range(5)]
    host.close()
    p50_ns = int(min(medians))  # others only ever add
    begun, done = time.monotonic(), 0
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("a", encoding="utf-8") as out:
        while done < args.blocks and time.monotonic() - begun < 60 * args.max_minutes:
            block = f"{time.time_ns():x}"
            for line in measure_block(args, p50_ns, injected=done % args.injected_every == 0):
                row = {"model": name, "block": block, **line}
                out.write(json.dumps(row, separators=(",", ":")) + "\n")
            out.flush()
            done += 1
    wall_s = time.monotonic() - begun
    print(f"{args.out}: {done} blocks of {name}, p50 {p50_ns / 1e6:.2f} ms, {wall_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(serve() if sys.argv[1:] == ["--host"] else main())
