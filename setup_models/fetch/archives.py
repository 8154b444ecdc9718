"""Safe unpacking of zip and tar archives: every member is judged by name, kind and size first."""

import contextlib
import gzip
import lzma
import os
import stat
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from textwrap import shorten
from typing import IO, cast

from perf.conversion.errors import UserError
from perf.request.programs import install_command

SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar")
COPY_BYTES = 1 << 20
MOST_FOLDERS = 64  # one in another
HEADER_BYTES = 1 << 20  # of one member: names, pax records
XZ_MEMORY_BYTES = 128 << 20  # `xz -9` asks for 65 MiB
_USTAR_AT, _USTAR_END = 257, 262  # where a tar says that it is one


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to before it counts as a decompression bomb."""

    total_bytes: int = 64 << 30
    members: int = 100_000
    ratio: int = 1_000  # unpacked size over the archive's; above it past `ratio_floor_bytes`
    ratio_floor_bytes: int = 1 << 30


@dataclass(frozen=True)
class _Member:
    """One member, whatever the container: where it goes and how its bytes are read."""

    name: str
    kind: str  # "file", "folder", or what makes it unacceptable ("link to …", "device file")
    size_bytes: int
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Whether the name says zip, tar, tar.gz, tar.xz or tar.zst."""
    return path.name.lower().endswith(SUFFIXES)


def stem(name: str) -> str:
    """The archive's file name less its archive suffix: `bertsquad-10.tar.gz` → `bertsquad-10`."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def safe_parts(name: str) -> tuple[str, ...]:
    """The member name's path parts below the destination folder; raises UserError for one that leads out."""
    if any(ord(letter) < 32 for letter in name) or "\\" in name:
        raise UserError(f"member {name!r}: control characters and backslashes are refused")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise UserError(f"member {name!r}: leads out of the folder it is unpacked into")
    if len(path.parts) > MOST_FOLDERS:
        raise UserError(f"member {name[:60]!r}…: more than {MOST_FOLDERS} folders deep")
    if any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise UserError(f"member {name!r}: its name is too long for a file")
    return path.parts


def unpack(archive: Path, destination: Path, limits: Limits = Limits()) -> list[Path]:
    """Unpack into `destination`, which must not exist yet; the files written, sorted.

    All or nothing: a refusal names the archive and the offending member, and leaves nothing behind.
    """
    if destination.exists():
        raise UserError(f"{destination}: already there; remove it to unpack {archive.name} again")
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".unpacking.") as scratch:
        inside = Path(scratch) / "unpacked"
        inside.mkdir()
        try:
            _unpack_members(archive, inside, limits)
        except UserError as refusal:
            raise UserError(f"{archive}: {refusal}") from refusal
        except Exception as error:  # the errors of the readers of archives share no base
            if isinstance(error, OSError) and error.strerror:
                raise UserError(f"{archive}: {error.strerror} while unpacking") from error
            why = shorten(str(error), 160) or type(error).__name__  # zipfile quotes whole headers
            raise UserError(
                f"{archive}: truncated or damaged ({why}); download it again"
            ) from error
        inside.replace(destination)
    return sorted(path for path in destination.rglob("*") if path.is_file())


def _unpack_members(archive: Path, inside: Path, limits: Limits) -> None:
    by_ratio = max(limits.ratio_floor_bytes, archive.stat().st_size * limits.ratio)
    limit = min(limits.total_bytes, by_ratio)
    written = 0
    seen: set[tuple[str, ...]] = set()
    for count, member in enumerate(_members(archive, limit), start=1):
        if count > limits.members:
            raise UserError(f"member {member.name!r}: more than {limits.members} members")
        parts = safe_parts(member.name)
        if member.kind not in {"file", "folder"}:
            raise UserError(f"member {member.name!r}: a {member.kind} is refused")
        if parts in seen or (member.kind == "file" and not parts):
            raise UserError(f"member {member.name!r}: is in the archive twice")
        if written + member.size_bytes > limit:
            raise UserError(_bomb(member.name, limit))
        target = inside.joinpath(*parts)
        try:
            (target if member.kind == "folder" else target.parent).mkdir(
                parents=True, exist_ok=True
            )
            if member.kind == "file":
                written += _write(member, target, limit - written)
                seen.add(parts)
        except OSError as error:
            if not error.strerror:  # a reader's, such as gzip's
                raise
            raise UserError(f"member {member.name!r}: {error.strerror}") from error


def _bomb(name: str, limit: int) -> str:
    return f"member {name!r}: the archive would unpack to more than {limit} bytes, the limit"


def _write(member: _Member, target: Path, room: int) -> int:
    """Copy one member out, counting real bytes, and return their number: a header may lie about the size."""
    written = 0
    source = member.open()
    if source is None:
        raise UserError(f"member {member.name!r}: holds no bytes to read")
    with source, target.open("xb") as sink:
        while chunk := source.read(COPY_BYTES):
            written += len(chunk)
            if written > room:
                raise UserError(_bomb(member.name, room))
            sink.write(chunk)
    if written != member.size_bytes:
        raise EOFError(f"member {member.name!r} has {written} of {member.size_bytes} bytes")
    return written


def _members(archive: Path, limit: int) -> Iterator[_Member]:
    if not is_archive(archive):
        raise UserError(f"not an archive this reads: {', '.join(SUFFIXES)}")
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                member = partial(zipped.open, info)
                yield _Member(info.filename, _zip_kind(info), info.file_size, member)
        return
    with _decompressed(archive) as plain:
        metered = _Metered(plain, limit)
        with tarfile.open(fileobj=cast("IO[bytes]", metered), mode="r|") as tar:
            while entry := tar.next():
                read = partial(tar.extractfile, entry)
                metered.left_of_headers = sys.maxsize
                yield _Member(entry.name, _tar_kind(entry), entry.size, read)
                tar.members.clear()  # type: ignore[attr-defined]  # it keeps each
                metered.left_of_headers = HEADER_BYTES
        metered.left_of_headers = sys.maxsize
        while metered.read(COPY_BYTES):  # to the end, where the checksum is checked
            pass


def _zip_kind(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16  # Unix mode bits, 0 where another system made the archive
    if stat.S_ISLNK(mode):
        return "symbolic link"
    if mode and stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "device file"
    if info.flag_bits & 1:
        return "file that is encrypted"
    return "folder" if info.is_dir() else "file"


def _tar_kind(entry: tarfile.TarInfo) -> str:
    if entry.isdir():
        return "folder"
    if entry.isfile():
        return "file"
    return f"link to {entry.linkname!r}" if entry.issym() or entry.islnk() else "device file"


class _Metered:
    """A reader that stops a bomb hidden in tar headers, which no member's size tells of."""

    def __init__(self, plain: IO[bytes], limit: int) -> None:
        self.plain = plain
        self.left = 2 * limit  # headers and padding are at most as large again as the members
        self.left_of_headers = HEADER_BYTES  # tarfile holds those of one member in memory

    def read(self, size: int) -> bytes:
        chunk = self.plain.read(size)
        self.left -= len(chunk)
        self.left_of_headers -= len(chunk)
        if self.left_of_headers < 0:
            raise UserError(f"a member's headers are larger than {HEADER_BYTES >> 20} MiB")
        if self.left < 0:
            raise UserError("its headers alone are larger than the limit")
        return chunk


class _Xz:
    """Reads an .xz file in bounded memory, which lzma.open does not offer."""

    def __init__(self, archive: Path) -> None:
        self._file = archive.open("rb")
        self._stream = self._begin()
        self.close = self._file.close

    def read(self, size: int) -> bytes:
        while True:
            if self._stream.eof:
                rest = self._stream.unused_data.lstrip(b"\0") or self._file.read(COPY_BYTES)
                if not rest.strip(b"\0"):
                    return b""
                self._stream = self._begin()
            else:
                rest = self._file.read(COPY_BYTES) if self._stream.needs_input else b""
                if self._stream.needs_input and not rest:
                    raise EOFError("it ends within its compressed data")
            if chunk := self._stream.decompress(rest, size):
                return chunk

    def _begin(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)


def _decompressed(archive: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
    """The tar in an archive; one that is not compressed, whatever its name says, is read as it is."""
    name = archive.name.lower()
    with archive.open("rb") as file:
        plain = file.read(_USTAR_END)[_USTAR_AT:] == b"ustar"
    if plain:
        return archive.open("rb")
    if name.endswith((".gz", ".tgz")):
        return cast("IO[bytes]", gzip.open(archive))
    if name.endswith((".xz", ".txz")):
        return contextlib.closing(cast("IO[bytes]", _Xz(archive)))
    if name.endswith((".zst", ".tzst")):
        try:
            import zstandard  # an extra
        except ImportError as error:
            raise UserError(
                "tar.zst needs the zstandard package; "
                f"`{install_command('zstandard', extra=True)}` fixes it"
            ) from error
        whole = zstandard.ZstdDecompressor().stream_reader(
            archive.open("rb"), read_across_frames=True
        )
        return cast("IO[bytes]", whole)
    return archive.open("rb")
