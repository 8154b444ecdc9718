"""The user's own data, as --inputs names them: an .npz, or a folder of test sets or of .npz."""

import hashlib
from pathlib import Path

from perf.request.bad_request import BadRequestError
from perf.request.model_file import digest_file
from perf.request.model_list import find_test_sets


def require_given(given: str) -> Path:
    """The path of --inputs; raises BadRequestError where there is nothing, or a file of another kind."""
    path = Path(given)
    if path.is_dir() or (path.is_file() and path.suffix.lower() == ".npz"):
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


def digest_given(given: Path) -> str:
    """sha256 over the names and bytes of every .pb and .npz there."""
    files = [given] if given.is_file() else sorted(given.rglob("*"))
    total = hashlib.sha256()
    for file in (p for p in files if p.suffix.lower() in (".pb", ".npz") and p.is_file()):
        total.update(f"{file.relative_to(given.parent)}:".encode("utf-8", "surrogateescape"))
        total.update(bytes.fromhex(digest_file(file)))
    return total.hexdigest()
