"""Damaged archives: each is refused in one line, in bounded memory, and nothing is left of it."""

import gzip
import io
import random
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from perf.conversion.errors import UserError
from setup_models.fetch.archives import unpack
from tests.asking import ROOT
from tests.torture.figures import Figures

MOST_MIB = 256
FILES = {
    "model/" + "folder_of_a_long_name/" * 6 + "model.onnx": b"onnx" * 700,
    "model/grüße.pb": b"\x08\x01" * 300,
    "model/empty": b"",
}


def tar_bytes(mode: str, form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as tar:  # type: ignore[call-overload]
        for name, data in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def zip_bytes(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as zipped:
        for name, data in FILES.items():
            zipped.writestr(name, data)
    return out.getvalue()


def whole_archives() -> Iterator[tuple[str, bytes]]:
    yield "plain.tar", tar_bytes("w", tarfile.PAX_FORMAT)
    yield "gnu.tar", tar_bytes("w", tarfile.GNU_FORMAT)
    yield "a.tar.gz", tar_bytes("w:gz", tarfile.PAX_FORMAT)
    yield "a.tar.xz", tar_bytes("w:xz", tarfile.GNU_FORMAT)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield f"{method}.zip", zip_bytes(method)


def mutated(draw: random.Random, data: bytes) -> bytes:
    """Bits flipped, bytes set, pieces cut out, doubled or moved, numbers made huge."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        at = draw.randrange(len(out) or 1)
        length = draw.choice((1, 2, 4, 8, 12, 100, 512))
        match draw.randrange(6):
            case 0:
                out[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                out[at : at + length] = draw.choice((b"\xff", b"\0", b"7", b"9")) * length
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = out[at : at + length]
            case 4:
                del out[at:]
            case _:
                other = draw.randrange(len(out) or 1)
                out[at : at + length] = out[other : other + length]
    return bytes(out)


def try_all(folder: Path, attempts: int, seed: int) -> None:
    """Run in a process of its own, whose memory is told in MiB; what is no refusal is raised."""
    draw, wholes = random.Random(seed), list(whole_archives())
    for _ in range(attempts):
        name, data = draw.choice(wholes)
        archive = folder / name
        archive.write_bytes(mutated(draw, data))
        try:
            unpack(archive, folder / "out")
        except UserError as refusal:
            line = str(refusal)
            if not line.startswith(str(archive)) or "\n" in line or len(line) > 1_000:
                raise AssertionError(f"no line that helps: {line!r}") from refusal
        else:
            (folder / "out").rename(folder / f"kept-{len(list(folder.iterdir()))}")
    left = {p.name for p in folder.iterdir() if p.name.startswith((".", "out"))}
    assert not left, left
    print(peak_mib())


def peak_mib() -> float:
    """The most memory that this process held; getrusage would tell its parent's, before exec."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize(
    "attempts", [500, pytest.param(20_000, marks=[pytest.mark.torture, pytest.mark.timeout(600)])]
)
def test_a_damaged_archive_is_refused_in_one_line(
    tmp_path: Path, figures: Figures, attempts: int
) -> None:
    code = f"from tests.torture.test_archives import *; try_all(Path(sys.argv[1]), {attempts}, 7)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        timeout=500, check=False, errors="backslashreplace",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    figures.add("damaged archives", attempts, attempts)
    figures.most("unpacking, MiB", float(done.stdout))
    assert float(done.stdout) < MOST_MIB


def test_headers_of_a_member_are_bounded(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.tar.gz"
    with gzip.open(archive, "wb", compresslevel=1) as tar:
        entry = tarfile.TarInfo("x")
        entry.type, entry.size = tarfile.XHDTYPE, 300 << 20
        tar.write(entry.tobuf())
        for _ in range(300):
            tar.write(bytes(1 << 20))
    code = "from tests.torture.test_archives import *; try_one(Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(archive)], cwd=ROOT, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert "headers are larger than 1 MiB" in done.stdout, done
    assert float(done.stdout.split()[-1]) < MOST_MIB


def try_one(archive: Path) -> None:
    try:
        unpack(archive, archive.parent / "out")
    except UserError as refusal:
        print(refusal)
    print(peak_mib())


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_folders_nested_without_end_are_refused(tmp_path: Path, suffix: str) -> None:
    archive = tmp_path / f"deep{suffix}"
    name = "d/" * 1_300 + "f"
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr(name, b"x")
    else:
        with tarfile.open(archive, "w") as tar:
            tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(UserError, match="more than 64 folders deep"):
        unpack(archive, tmp_path / "out")
    assert [*tmp_path.iterdir()] == [archive]
