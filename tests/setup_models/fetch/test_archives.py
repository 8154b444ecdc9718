"""Archives unpack whole, to the bytes that went in; what could do harm is refused by name."""

import io
import lzma
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perf.conversion.errors import UserError
from setup_models.fetch import archives
from setup_models.fetch.archives import Limits, safe_parts, unpack

FILES = {
    "net/model.onnx": b"model" * 1000,
    "net/test_data_set_0/input_0.pb": b"\x08\x01",
    "r": b"",
}
KINDS = {".zip": "", ".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.xz": "w:xz"}


def write(path: Path, files: Mapping[str, bytes], *more: tarfile.TarInfo) -> Path:
    """An archive of the kind that its name says."""
    mode: Any = next(KINDS[suffix] for suffix in KINDS if path.name.endswith(suffix))
    if not mode:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, body in files.items():
                zipped.writestr(name, body)
        return path
    with tarfile.open(path, mode) as tar:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
        for entry in more:
            tar.addfile(entry, io.BytesIO(bytes(entry.size)))
    return path


def refuse(archive: Path, says: str, **limits: int) -> None:
    """It is refused with these words and its own name, and nothing is left."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(UserError, match=says) as refusal:
        unpack(archive, archive.parent / "out", Limits(**limits))
    assert archive.name in str(refusal.value)
    assert sorted(archive.parent.rglob("*")) == before


@pytest.mark.parametrize("suffix", KINDS)
def test_every_kind_unpacks_to_the_bytes_that_went_in(suffix: str, tmp_path: Path) -> None:
    archive = write(tmp_path / f"nets{suffix}", FILES)
    written = unpack(archive, tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in written}
    assert found == FILES
    assert archives.stem(archive.name) == "nets"
    with pytest.raises(UserError, match="already there"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("suffix", KINDS)
def test_a_truncated_archive_or_flipped_bit_is_refused(suffix: str, tmp_path: Path) -> None:
    archive = tmp_path / f"nets{suffix}"
    body = write(archive, {"a.onnx": os.urandom(200_000), "b.pb": os.urandom(50_000)}).read_bytes()
    for kept in (0.3, 0.7, 0.97):
        archive.write_bytes(body[: int(len(body) * kept)])
        refuse(archive, "truncated or damaged")
    archive.write_bytes(b"not this kind")
    refuse(archive, "truncated or damaged")
    refuse(archive.rename(tmp_path / "x.rar"), "not an archive this reads")
    if suffix != ".tar":  # which has no checksum of what its members hold
        archive.write_bytes(body[:60_000] + bytes([body[60_000] ^ 1]) + body[60_001:])
        refuse(archive, "truncated or damaged")


@pytest.mark.parametrize(
    "name", ["../out.onnx", "/etc/x.onnx", "a/../../b", "c:\\x", "C:/x", "a\nb", "n" * 256]
)
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_member_that_leads_out_is_refused(name: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    archive = write(tmp_path / "in" / f"evil{suffix}", {"good.onnx": b"x", name: b"x"})
    refuse(archive, f"member {re.escape(repr(name))}: ")
    assert [path.name for path in tmp_path.rglob("*")] == ["in", archive.name]
    nul = write(tmp_path / f"nul{suffix}", {"a\x00b": b"x"})  # where a name ends in both formats
    assert [path.name for path in unpack(nul, tmp_path / "out")] == ["a"]


def test_links_and_devices_are_refused_by_name(tmp_path: Path) -> None:
    for kind, says in (
        (tarfile.SYMTYPE, "link to '/etc/passwd'"),
        (tarfile.LNKTYPE, "link to '/etc/passwd'"),
        *(
            (device, "device file")
            for device in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
        ),
    ):
        entry = tarfile.TarInfo("nets/bait")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive = write(tmp_path / "evil.tar.xz", {}, entry)
        refuse(archive, f"member 'nets/bait': a {says} is refused")
    for mode, flags, says in (
        (stat.S_IFLNK, 0, "symbolic link"),
        (stat.S_IFIFO, 0, "device file"),
        (stat.S_IFREG, 1, "file that is encrypted"),
    ):
        member = zipfile.ZipInfo("bait")
        member.external_attr = (mode | 0o777) << 16
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as zipped:
            zipped.writestr(member, "/etc/passwd")
            member.flag_bits |= flags  # as the archive's directory will say
        refuse(tmp_path / "evil.zip", f"member 'bait': a {says} is refused")


@pytest.mark.parametrize("suffix", [".zip", ".tar.xz"])
def test_a_bomb_is_refused_by_name_and_limit(suffix: str, tmp_path: Path) -> None:
    archive = write(tmp_path / f"bomb{suffix}", {"small": b"x", "zeros": bytes(5_000_000)})
    bound = r"member 'zeros': .*more than 1000000 bytes"
    refuse(archive, bound, total_bytes=1_000_000)
    refuse(archive, "member 'zeros'", ratio=10, ratio_floor_bytes=1000)


def test_a_zip_that_lies_about_a_members_size_is_caught_while_writing(tmp_path: Path) -> None:
    archive = write(tmp_path / "liar.zip", {"zeros": bytes(3_000_000)})
    body = archive.read_bytes()
    lie = body.replace((3_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lie != body
    archive.write_bytes(lie)
    refuse(archive, "truncated or damaged|member 'zeros'", total_bytes=1_000_000)


def test_a_bomb_in_tar_headers_is_stopped(tmp_path: Path) -> None:
    archive = tmp_path / "pax.tar.xz"
    entry = tarfile.TarInfo("a")
    entry.pax_headers = {"comment": "x" * 4_000_000}
    with lzma.open(archive, "wb") as packed:
        packed.write(entry.tobuf(tarfile.PAX_FORMAT) + bytes(1024))
    refuse(archive, "headers are larger|headers alone are larger", total_bytes=1_000_000)


def test_too_many_members_and_colliding_ones_are_refused(tmp_path: Path) -> None:
    many = write(tmp_path / "many.tar", {f"f{number}": b"" for number in range(50)})
    refuse(many, "member 'f40': more than 40 members", members=40)
    twice = write(tmp_path / "twice.tar.gz", {"m.onnx": b"one"}, tarfile.TarInfo("m.onnx"))
    refuse(twice, r"member 'm\.onnx': is in the archive twice")
    refuse(write(tmp_path / "odd.tar", {"a": b"x", "a/b": b"x"}), "member 'a/b': ")


@given(
    st.text(max_size=40) | st.lists(st.sampled_from(["..", ".", "a", "", "c:", "~"])).map("/".join)
)
@example("a/../b")
@example("//x")
@example("....//....//x")
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    root = PurePosixPath("/safe/root")
    try:
        parts = safe_parts(name)
    except UserError:
        return
    lexical = os.path.normpath(root.joinpath(*parts))
    assert lexical == str(root) or lexical.startswith("/safe/root/")
    assert ".." not in parts
    assert not any(part.startswith("/") for part in parts)


path_names = st.lists(st.text("abc.~ é漢", min_size=1, max_size=5), min_size=1, max_size=3)


@given(
    st.dictionaries(path_names.map("/".join), st.binary(max_size=50), max_size=5),
    st.sampled_from([".zip", ".tar.gz"]),
)
def test_an_archive_unpacks_whole_or_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("hyp")
    archive = write(folder / f"a{suffix}", files)
    try:
        written = unpack(archive, folder / "out")
    except UserError:
        assert [path.name for path in folder.iterdir()] == [archive.name]
        return
    assert sorted(path.read_bytes() for path in written) == sorted(files.values())
    assert all(path.resolve().is_relative_to(folder / "out") for path in written)


def test_tar_zst_unpacks_or_says_what_it_needs(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.tar", FILES).read_bytes()
    archive = tmp_path / "nets.tar.zst"
    try:
        import zstandard
    except ImportError:
        archive.write_bytes(b"\x28\xb5\x2f\xfd")
        refuse(archive, r"zstandard.*perf\.sh --setup=dev")
        return
    compress = zstandard.ZstdCompressor().compress
    archive.write_bytes(compress(plain[:1000]) + compress(plain[1000:]))  # two frames
    assert len(unpack(archive, tmp_path / "out")) == len(FILES)
    archive.write_bytes(compress(plain)[:100])
    with pytest.raises(UserError, match="truncated or damaged"):
        unpack(archive, tmp_path / "half")


@pytest.mark.parametrize("name", ["net.tar.gz", "net.tgz", "net.tar.xz"])
def test_a_plain_tar_under_the_name_of_a_packed_one_is_unpacked(name: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"a model")
    with tarfile.open(tmp_path / name, "w") as tar:
        tar.add(tmp_path / "model.onnx", "net/model.onnx")
    assert archives.unpack(tmp_path / name, tmp_path / "out") == [tmp_path / "out/net/model.onnx"]
    assert (tmp_path / "out" / "net" / "model.onnx").read_bytes() == b"a model"
