"""Paths that flags name, held to what they are for before anything runs, whichever target would use them."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from perf.request.bad_request import BadRequestError
from perf.request.custom_ops import require_libraries
from perf.request.export_request import ExportRequest
from perf.request.given_data import require_given
from perf.request.options import Options


def refuse_bad_paths(options: Options) -> None:
    """Raise BadRequestError for the first path of a run that cannot be what its flag takes."""
    if options.keep_cache:
        require_folder_to_write("--keep_cache", Path(options.keep_cache))
    require_files_to_write(options.exports)
    if not Path(options.workspace).is_dir():
        raise BadRequestError(
            f"-w {options.workspace}: no such folder; TensorRT and trtexec are looked for below it"
        )
    if options.trtexec and shutil.which(options.trtexec) is None:
        raise BadRequestError(f"--trtexec {options.trtexec}: no such executable file")
    if options.inputs:
        require_given(options.inputs)
    require_libraries(options.custom_ops)


def require_files_to_write(exports: Sequence[ExportRequest]) -> None:
    """Raise BadRequestError for an export's path that no file can be written to."""
    for path, name in ((e.path, e.format) for e in exports if e.path):
        flag = f"--export {name}={path}"
        if path.is_dir():
            raise BadRequestError(f"{flag}: it is a folder; name a file in it")
        require_folder_to_write(flag, path.absolute().parent)


def require_folder_to_write(flag: str, folder: Path) -> None:
    """Raise BadRequestError where a folder neither is nor can be made, or nothing can be written into it."""
    shown = flag if "=" in flag else f"{flag} {folder}"
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(p))
    if not there.is_dir():
        raise BadRequestError(f"{shown}: {there} is not a folder; choose another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadRequestError(f"{shown}: nothing can be written into {there}; choose another")
