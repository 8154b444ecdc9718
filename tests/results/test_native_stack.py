"""Frames as gdb 13 prints them, and nothing of what is none."""

from pathlib import Path

from perf.results import native_stack
from perf.schema.record import NativeFrame

TOLD = """
#0  __strlen_evex () at ../sysdeps/x86_64/multiarch/strlen-evex.S:79
#1  0x00007ffff744af7a in ?? () from /lib/x86_64-linux-gnu/libffi.so.8
Copying output to native_stack.txt.
#3  0x00007fffe1 in onnxruntime::Graph::Resolve(std::vector<int> const&) (this=0x5, o=...) from /x y/libonnxruntime.so.1
#4  operator() (__closure=0x7ffe) at /src/a (b)/kernel.cc:12
#5  <signal handler called>
No symbol table.
"""


def test_functions_and_libraries_are_read_from_what_gdb_says(tmp_path: Path) -> None:
    (tmp_path / native_stack.FILE).write_text(TOLD)
    assert native_stack.read_native_stack(tmp_path) == (
        NativeFrame("__strlen_evex", "../sysdeps/x86_64/multiarch/strlen-evex.S:79"),
        NativeFrame("??", "/lib/x86_64-linux-gnu/libffi.so.8"),
        NativeFrame(
            "onnxruntime::Graph::Resolve(std::vector<int> const&)", "/x y/libonnxruntime.so.1"
        ),
        NativeFrame("operator()", "/src/a (b)/kernel.cc:12"),
    )
    assert native_stack.read_native_stack(tmp_path / "nowhere") == ()


def test_a_flood_is_cut(tmp_path: Path) -> None:
    frame = "#1  0x1 in " + "f" * 900 + " () from /" + "l" * 900 + "\n"
    (tmp_path / native_stack.FILE).write_text(frame * 1000)
    found = native_stack.read_native_stack(tmp_path)
    assert len(found) <= native_stack.MOST_FRAMES
    assert {(len(f.function), len(f.library)) for f in found} == {(200, 300)}
