"""The user's own data, as --inputs names them: an .npz, or a folder of test sets or of .npz."""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from perf.request.bad_request import BadRequestError
from perf.request.model_file import digest_file
from perf.request.model_list import find_test_sets


def require_given(given: str) -> Path:
    """The path of --inputs; raises BadRequestError where there is nothing, or a file of another kind."""
    path = Path(given)
    if path.is_dir():
        if not any(_list_data(path)):
            raise BadRequestError(
                f"--inputs {given}: it holds no test_data_set_N/input_M.pb and no .npz; "
                "numpy.savez(FILE, x=x) writes one"
            )
        return path
    if path.is_file() and path.suffix.lower() == ".npz":
        if not zipfile.is_zipfile(path):
            raise BadRequestError(
                f"--inputs {given}: not a whole .npz file; numpy.savez({path.name}, x=x) writes one"
            )
        return path
    what = "neither a folder nor an .npz file" if path.exists() else "no such folder or .npz file"
    raise BadRequestError(f"--inputs {given}: {what}; numpy.savez(FILE, x=x) writes one")


def find_given_sets(given: Path, model_name: str) -> tuple[Path, ...]:
    """The sets in it, sorted: those below its folder of the model's name, if it has one, else its own."""
    if given.is_file():
        return (given,)
    own = given / model_name
    home = own if own.is_dir() else given
    alone = (home,) if list(home.glob("input*.pb")) else ()
    return find_test_sets(home) or alone or tuple(sorted(home.glob("*.npz")))


def _list_data(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.suffix.lower() in (".pb", ".npz") and p.is_file())


def digest_given(given: Path) -> str:
    """sha256 over the names and bytes of every .pb and .npz there."""
    files = [given] if given.is_file() else sorted(_list_data(given))
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(given.parent)}:".encode("utf-8", "surrogateescape"))
        total.update(bytes.fromhex(digest_file(file)))
    return total.hexdigest()
