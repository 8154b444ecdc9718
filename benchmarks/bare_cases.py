"""The node tests on bare ONNX Runtime: a fork per case, `session.run` on arrays, numpy's own comparison.

    python -m benchmarks.bare_cases FOLDER PART PARTS

Prints one JSON object: case name to what became of it. It imports nothing of the harness, so that the two
can be held against each other; what numpy has no type for (bfloat16, float8, int4), it cannot feed.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in every worker
os.environ["OPENBLAS_NUM_THREADS"] = "1"
RTOL, ATOL = 1e-3, 1e-7  # of every node test
PASSES, DIFFERS, REFUSED, FAILS, UNFED = "passes", "differs", "refused", "fails", "unfed"


def main(words: list[str]) -> None:
    if words[:1] in (["-h"], ["--help"]):
        sys.exit(print(__doc__))
    import onnxruntime as ort

    ort.set_default_logger_severity(4)
    folder, part, parts = Path(words[0]), int(words[1]), int(words[2])
    cases = sorted(p for p in folder.iterdir() if p.is_dir())
    print(json.dumps({c.name: _forked(c) for c in cases[part::parts]}))


def _forked(case: Path) -> str:
    """One case in a child of its own; what it says, or that it died."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(into, _tried(case).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as f:
        told = f.read().decode()
    os.waitpid(pid, 0)
    return told or "died"


def _tried(case: Path) -> str:
    import onnx
    import onnxruntime as ort

    model = onnx.ModelProto.FromString((case / "model.onnx").read_bytes())
    data = case / "test_data_set_0"
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(
            str(case / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
    except Exception:  # ORT's exceptions have no common base but this one
        return REFUSED
    feed = {v.name: _read(data / f"input_{i}.pb", v) for i, v in enumerate(model.graph.input)}
    wanted = [_read(data / f"output_{i}.pb", v) for i, v in enumerate(model.graph.output)]
    try:
        got = session.run(None, feed)
    except RuntimeError as e:
        return UNFED if "can't be converted to MLDataType" in str(e) else FAILS
    except Exception:
        return FAILS
    return PASSES if all(map(_same, wanted, got)) else DIFFERS


def _read(path: Path, value: Any) -> Any:
    import onnx
    from onnx import numpy_helper

    data = path.read_bytes()
    if value.type.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if value.type.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


def _same(wanted: Any, got: Any) -> bool:
    """As the onnx package compares: equal types, and values within the tolerances."""
    import numpy as np

    if isinstance(wanted, list):
        return len(wanted) == len(got) and all(map(_same, wanted, got))
    if wanted is None or got is None:
        return wanted is got
    if wanted.dtype.kind in "OUS":
        return np.array_equal(wanted.astype(str), np.asarray(got).astype(str))
    same_kind = wanted.dtype == got.dtype and wanted.shape == got.shape
    return bool(same_kind and np.allclose(got, wanted, RTOL, ATOL, equal_nan=True))


if __name__ == "__main__":
    main(sys.argv[1:])
