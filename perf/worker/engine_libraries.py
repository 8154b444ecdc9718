"""The libraries that an engine is made of, by their digests: one version may have been built twice."""

import base64
import importlib.metadata
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import PackagePath
from pathlib import Path

from perf.request.model_file import digest_file

_OF_ENGINES = ("onnxruntime", "openvino", "tensorrt")
_LIBRARY = re.compile(
    r"(onnxruntime_pybind11_state|libonnxruntime|libopenvino|libnvinfer|libtensorrt_rtx)\b.*\.so.*"
    r"|(libonnxruntime_providers|libopenvino)_\w+\.so.*"
)


def digest_libraries(path: Sequence[str], package: Path | None = None) -> dict[str, str]:
    """sha256 of each engine's libraries, by their names; of copies under several names, under one.

    Those of the distributions on a path, and those in a package that may be a build tree instead.
    """
    found = dict(_of_distributions(path))
    for file in package.glob("capi/*.so*") if package else ():
        if _LIBRARY.fullmatch(file.name) and file.name not in found:
            found[file.name] = digest_file(file)
    by_digest = {digest: name for name, digest in sorted(found.items(), reverse=True)}
    return {name: digest for digest, name in sorted(by_digest.items(), key=lambda x: x[1])}


def _of_distributions(path: Sequence[str]) -> Iterator[tuple[str, str]]:
    for distribution in importlib.metadata.distributions(path=list(path)):
        if not str(distribution.metadata["Name"] or "").lower().startswith(_OF_ENGINES):
            continue
        files = distribution.files or []
        installed_ns = max(
            (_path(f).stat().st_mtime_ns for f in files if f.name == "RECORD"), default=0
        )
        for file in files:
            if _LIBRARY.fullmatch(file.name) and _path(file).is_file():
                yield file.name, _recorded(file, installed_ns) or digest_file(_path(file))


def _recorded(file: PackagePath, installed_ns: int) -> str:
    """The digest that was written down when the file was installed, for to read 300 MB takes half a second.

    "" where there is none, or the file has changed since.
    """
    if file.hash is None or file.hash.mode != "sha256":
        return ""
    now = _path(file).stat()
    if now.st_size != file.size or now.st_mtime_ns > installed_ns:
        return ""
    return base64.urlsafe_b64decode(file.hash.value + "=").hex()


def _path(file: PackagePath) -> Path:
    return Path(str(file.locate()))
