"""Libraries of custom ops, by absolute path and digest, as --custom_ops names them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from perf.request.bad_request import BadRequestError
from perf.request.model_file import NO_LIBRARY, digest_file, is_shared_library
from perf.schema.cell import ModelFile


def require_libraries(given: Sequence[str]) -> None:
    """Raise BadRequestError for a file that cannot be read, or is no library."""
    try:
        others = [path for path in given if not is_shared_library(Path(path))]
    except OSError as e:
        raise BadRequestError(f"--custom_ops {e.filename}: {e.strerror}") from e
    if others:
        raise BadRequestError(f"--custom_ops {others[0]}: {NO_LIBRARY}")


def find_libraries(given: Sequence[str]) -> dict[str, str]:
    """sha256 by absolute path; raises BadRequestError as `require_libraries` does."""
    require_libraries(given)
    try:
        return {str(path.absolute()): digest_file(path) for path in map(Path, given)}
    except OSError as e:
        raise BadRequestError(f"--custom_ops {e.filename}: {e.strerror}") from e


def add_custom_ops(models: Iterable[ModelFile], libraries: Sequence[str]) -> tuple[ModelFile, ...]:
    """The models, each with these libraries beside its own; raises BadRequestError as `find_libraries`."""
    more = find_libraries(libraries)
    return tuple(replace(m, custom_ops={**m.custom_ops, **more}) for m in models)
