"""The bare thing to hold the harness against: a session and a loop of runs, in a process of its own.

    python -m benchmarks.bare CELL_JSON RUNS WARMUP

Prints one JSON object: seconds to create the session, and nanoseconds of each run. It imports nothing of
the harness: it reads the cell's model, inputs and session options from the JSON file.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in every worker
os.environ["OPENBLAS_NUM_THREADS"] = "1"


def main(words: list[str]) -> None:
    if words[:1] in (["-h"], ["--help"]):
        sys.exit(print(__doc__))
    import numpy as np
    import onnxruntime as ort

    cell = json.loads(Path(words[0]).read_text(encoding="utf-8"))
    runs, warmup = int(words[1]), int(words[2])
    if cell["protocol"]["affinity"]:
        os.sched_setaffinity(0, cell["protocol"]["affinity"])
    feeds = [{t["name"]: np.load(t["path"]) for t in s["inputs"]} for s in cell["sets"]]
    began = time.monotonic()
    options = ort.SessionOptions()
    options.intra_op_num_threads = cell["protocol"]["intra_op_threads"]
    session = ort.InferenceSession(cell["model"]["path"], options, providers=[cell["provider"]])
    created_s = time.monotonic() - began
    names = [o.name for o in session.get_outputs()]
    for i in range(warmup):
        session.run(names, feeds[i % len(feeds)])
    samples = []
    clock, run, sets = time.perf_counter_ns, session.run, len(feeds)
    gc.collect()
    gc.disable()
    began = time.monotonic()
    for k in range(runs):
        feed = feeds[k % sets]
        start = clock()
        run(names, feed)
        samples.append(clock() - start)
    total_s = time.monotonic() - began
    print(
        json.dumps({"created_s": created_s, "samples_ns": samples, "runs_s": total_s}), flush=True
    )
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
