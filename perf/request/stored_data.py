"""What identifies the test data that are stored beside a model."""

import hashlib
from contextlib import suppress
from pathlib import Path

from perf.request.model_file import digest_file
from perf.request.model_list import find_test_sets
from perf.schema.untrusted_file import UntrustedFileError


def digest_test_data(folder: Path | None) -> str:
    """sha256 over the names and bytes of every test set's files below a folder; "" without any.

    A file that is no regular file is known by that alone: whoever prepares it says so.
    """
    total = hashlib.sha256()
    seen = False
    for one in find_test_sets(folder) if folder else ():
        files = [one] if one.is_file() else sorted(p for p in one.iterdir() if p.suffix == ".pb")
        for file in files:
            seen = True
            total.update(f"{one.name}/{file.name}:".encode("utf-8", "surrogateescape"))
            with suppress(UntrustedFileError):
                total.update(bytes.fromhex(digest_file(file)))
    return total.hexdigest() if seen else ""
