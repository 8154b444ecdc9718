"""The YAML that perf_run.py takes: backends, inputs, a model file, a device and precisions; strict."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perf.request.bad_request import BadRequestError
from perf.schema.untrusted_file import read_whole

ALL = ("torch", "torch_tensorrt", "tensorrt", "torch_blade")  # what "all" has always meant
BACKENDS = (*ALL, "torch_script", "torch_compile", "torch_export")
PRECISIONS = {
    "fp32": "fp32",
    "fp16": "fp16",
    "half": "fp16",
    "bf16": "bf16",
    "tf32": "tf32",
    "int8": "int8",
}
DTYPES = ("float32", "float16", "int64", "int32", "int8", "uint8", "bool")
_MOST_INPUTS = 1000
_LARGEST = 1 << 20


@dataclass(frozen=True)
class InputConfig:
    """One input without its batch: its shape, the least and most that an engine is built for, its type."""

    shape: tuple[int, ...]
    least: tuple[int, ...] = ()
    most: tuple[int, ...] = ()
    dtype: str = ""


@dataclass(frozen=True)
class PerfRunConfig:
    """One file: what is measured, on what, how."""

    name: str
    model: str  # a path, or module:function
    backends: tuple[str, ...]
    inputs: tuple[InputConfig, ...]
    precisions: tuple[str, ...]
    device: int = 0
    batch: int = 1
    iterations: int = 100
    warmup: int = 50
    calibration_cache: str = ""
    tolerances: Mapping[str, float] = field(default_factory=dict)


def read_config(path: Path) -> PerfRunConfig:
    """A file, its fields checked; raises BadRequestError, which names a typo's nearest field."""
    try:
        import yaml  # kept out of the start of every other program
    except ModuleNotFoundError:
        raise BadRequestError("reading YAML needs PyYAML: ./perf.sh --setup brings it") from None
    try:
        given = yaml.safe_load(read_whole(path, _LARGEST, follow=True))
    except OSError as e:
        raise BadRequestError(f"{path}: {e.strerror}") from e
    except (yaml.YAMLError, RecursionError, ValueError) as e:
        raise BadRequestError(f"{path}: not YAML: {' '.join(str(e).split())[:200]}") from e
    return _Reader(path).config(given)


@dataclass(frozen=True)
class _Reader:
    path: Path

    def config(self, given: Any) -> PerfRunConfig:
        top = self._fields(
            given, "", ("backend", "input", "model", "runtime"),
            ("batch", "iterations", "warmup", "tolerances"),
        )  # fmt: skip
        model = self._fields(top["model"], "model", ("filename", "name"), ())
        runtime = self._fields(
            top["runtime"], "runtime", ("precision",), ("device", "calibration_cache")
        )
        backends = self._words(top["backend"], "backend", {b: b for b in (*BACKENDS, "all")})
        precisions = self._words(runtime["precision"], "runtime.precision", PRECISIONS)
        if "all" in backends and "int8" in precisions:
            raise self._wrong(
                "runtime.precision",
                "int8 cannot be used with all: name torch_tensorrt or tensorrt",
            )
        cache = self._file(runtime.get("calibration_cache"), "runtime.calibration_cache")
        if "int8" in precisions and "torch_tensorrt" in backends and not cache:
            raise self._wrong(
                "runtime.calibration_cache", "torch_tensorrt in int8 needs one: name its file"
            )
        return PerfRunConfig(
            name=self._name(model["name"]),
            model=self._model(model["filename"]),
            backends=ALL if "all" in backends else backends,
            inputs=self._inputs(top["input"]),
            precisions=precisions,
            device=self._number(runtime.get("device", 0), "runtime.device", least=0),
            batch=self._number(top.get("batch", 1), "batch", least=1),
            iterations=self._number(top.get("iterations", 100), "iterations", least=1),
            warmup=self._number(top.get("warmup", 50), "warmup", least=0),
            calibration_cache=cache,
            tolerances=self._tolerances(top.get("tolerances") or {}),
        )

    def _wrong(self, where: str, what: str) -> BadRequestError:
        return BadRequestError(f"{self.path}: {where + ': ' if where else ''}{what}")

    def _fields(
        self, given: Any, where: str, needed: tuple[str, ...], more: tuple[str, ...]
    ) -> dict[str, Any]:
        if not isinstance(given, dict):
            raise self._wrong(
                where, f"expected fields {', '.join((*needed, *more))}, got {given!r:.40}"
            )
        for name in (str(k) for k in given):
            if name not in (*needed, *more):
                near = difflib.get_close_matches(name, (*needed, *more), n=1)
                hint = (
                    f"; nearest is {near[0]}"
                    if near
                    else f"; known are {', '.join((*needed, *more))}"
                )
                raise self._wrong(where, f"unknown field {name!r}{hint}")
        for name in needed:
            if given.get(name) is None:
                raise self._wrong(where, f"no field {name!r}")
        return {str(k): v for k, v in given.items()}

    def _words(self, given: Any, where: str, known: Mapping[str, str]) -> tuple[str, ...]:
        words = given if isinstance(given, list) else [given]
        for word in words:
            if word not in known:
                near = difflib.get_close_matches(str(word), known, n=1)
                hint = f"nearest is {near[0]}" if near else f"use {', '.join(known)}"
                raise self._wrong(where, f"{word!r} is none of them; {hint}")
        if not words:
            raise self._wrong(where, f"names none; use {', '.join(known)}")
        return tuple(dict.fromkeys(known[w] for w in words))

    def _name(self, given: Any) -> str:
        text = str(given).strip()
        if not text:
            raise self._wrong("model.name", "is empty; the table names the model by it")
        return text

    def _model(self, filename: Any) -> str:
        """A file beside the config, then below models/ next to it and here; an entry point as it stands."""
        text = str(filename)
        if ":" in text and not text.endswith((".pt", ".plan", ".engine", ".onnx")):
            return text
        homes = [
            self.path.parent,
            self.path.parent / "models",
            self.path.parent.parent / "models",
            Path("models"),
        ]
        for home in homes:
            if (home / text).is_file():
                return str((home / text).absolute())
        looked = ", ".join(dict.fromkeys(str(h) for h in homes))
        raise self._wrong("model.filename", f"no file {text} in {looked}")

    def _file(self, given: Any, where: str) -> str:
        """A file beside the config or here, as an absolute path; "" where none is named."""
        if given is None or given == "":
            return ""
        for home in (self.path.parent, Path()):
            if (home / str(given)).is_file():
                return str((home / str(given)).absolute())
        raise self._wrong(where, f"no file {given} beside it or here")

    def _inputs(self, given: Any) -> tuple[InputConfig, ...]:
        if not isinstance(given, dict) or not isinstance(given.get("num_inputs"), int):
            raise self._wrong("input", "needs num_inputs, a number, and input0, input1, …")
        count = given["num_inputs"]
        if not 0 < count < _MOST_INPUTS:
            raise self._wrong("input.num_inputs", f"expected 1 to {_MOST_INPUTS - 1}, got {count}")
        names = tuple(f"input{i}" for i in range(count))
        fields = self._fields(given, "input", (*names, "num_inputs"), ())
        return tuple(self._input(fields[n], f"input.{n}") for n in names)

    def _input(self, given: Any, where: str) -> InputConfig:
        if isinstance(given, list):
            return InputConfig(self._dims(given, where))
        fields = self._fields(given, where, (), ("shape", "min", "opt", "max", "dtype"))
        shape = fields.get("shape", fields.get("opt"))
        if shape is None:
            raise self._wrong(where, "needs a shape, or min, opt and max")
        dtype = str(fields.get("dtype") or "")
        if dtype and dtype not in DTYPES:
            raise self._wrong(f"{where}.dtype", f"{dtype!r}: use one of {', '.join(DTYPES)}")
        bounds = [
            self._dims(fields[k], f"{where}.{k}") if k in fields else () for k in ("min", "max")
        ]
        made = InputConfig(self._dims(shape, where), bounds[0], bounds[1], dtype)
        for bound in (b for b in bounds if b):
            if len(bound) != len(made.shape):
                raise self._wrong(
                    where, f"min and max have as many dimensions as the shape, {len(made.shape)}"
                )
        if any(a > b for a, b in zip(made.least, made.shape, strict=False)) or any(
            a > b for a, b in zip(made.shape, made.most, strict=False)
        ):
            raise self._wrong(where, "min, opt and max are not in order")
        return made

    def _dims(self, given: Any, where: str) -> tuple[int, ...]:
        if not isinstance(given, list) or not all(type(d) is int and d > 0 for d in given):
            raise self._wrong(
                where, f"expected a list of sizes such as [3, 224, 224], got {given!r:.40}"
            )
        return tuple(given)

    def _number(self, given: Any, where: str, *, least: int) -> int:
        if type(given) is not int or given < least:
            raise self._wrong(where, f"expected a number from {least} on, got {given!r:.40}")
        return given

    def _tolerances(self, given: Any) -> dict[str, float]:
        fields = self._fields(given, "tolerances", (), ("rtol", "atol", "percent_mismatch"))
        for name, value in fields.items():
            if not isinstance(value, (int, float)) or value < 0:
                raise self._wrong(
                    f"tolerances.{name}", f"expected a number from 0 on, got {value!r:.40}"
                )
        return {k: float(v) for k, v in fields.items()}
