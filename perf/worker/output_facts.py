"""What an output tells whatever its reference is: its type, one value throughout, the same for two inputs."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from perf.measure import tensor_io
from perf.schema.journal import Compared


@dataclass
class SeenOutputs:
    """Digests of the inputs and outputs of the sets that were run so far."""

    _outputs: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)

    def find_repeats(
        self, set_name: str, fed: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray]
    ) -> dict[str, str]:
        """Outputs that are those of an earlier set, by its name, though other inputs were fed."""
        inputs = _digest(*(fed[name] for name in sorted(fed)))
        out: dict[str, str] = {}
        for name, array in got.items():
            earlier = self._outputs.setdefault((name, _digest(array)), [])
            if earlier and earlier[0][1] != inputs:
                out[name] = earlier[0][0]
            earlier.append((set_name, inputs))
        return out


def add_facts(facts: Compared, got: np.ndarray, repeats: str) -> Compared:
    """A comparison with what its output tells by itself."""
    return replace(
        facts,
        onnx_type=tensor_io.onnx_type_of(got),
        uniform=describe_uniform(got),
        repeats=repeats,
    )


def describe_uniform(got: np.ndarray) -> str:
    """The one value of two or more elements; "" where they differ, or there are fewer."""
    values = tensor_io.decode(got).reshape(-1)
    if values.size < 2:
        return ""
    first = values[0]
    if values.dtype.kind in "fc" and np.isnan(first):
        return "nan" if bool(np.isnan(values).all()) else ""
    if not bool((values == first).all()):
        return ""
    return f"{first:g}" if values.dtype.kind in "fiub" else str(first)[:80]


def _digest(*arrays: np.ndarray) -> str:
    made = hashlib.sha256()
    for array in arrays:
        words = (str(array.dtype), str(array.shape))
        made.update(" ".join(words).encode())
        plain = str(array.tolist()).encode() if array.dtype.kind in "OUS" else array.tobytes()
        made.update(plain)
    return made.hexdigest()
