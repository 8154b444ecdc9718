"""Whether an EP takes a user's options, by a session on a model of one node and the names in its libraries.

A process of its own in the target's environment; it prints the engine's refusal, "" where it opened the
session, and the names that no library holds, as JSON.
"""

import difflib
import importlib.util
import json
import mmap
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from perf.backends import plugin as plugins

# y = Identity(x), one float; IR 8, opset 13
MODEL = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08'
    b"\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
LONGEST = 4000  # characters of a refusal
SURE = (
    0.93  # likeness of a typo to the name that is meant; of names that engines have, 0.88 was seen
)
_NAME = re.compile(rb"[A-Za-z_][\w.]{3,99}")


def try_options(provider: str, options: Mapping[str, str], plugin: Mapping[str, str]) -> str:
    """What the engine says against them; "" for nothing."""
    import onnxruntime as ort

    with suppress(AttributeError):  # loads CUDA and cuDNN from pip packages; older ones lack it
        ort.preload_dlls()
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    try:
        if plugin:
            devices = plugins.register_plugin(ort, plugin, plugin.get("ep_name", ""))
            settings.add_provider_for_devices(devices[:1], dict(options))
            ort.InferenceSession(MODEL, settings)
        else:
            given = [(provider, dict(options))]
            ort.InferenceSession(MODEL, settings, providers=given, enable_fallback=0)
    except Exception as e:  # ORT's exceptions have no common base but this one
        return str(e)[:LONGEST]
    return ""


def find_absent(names: Sequence[str], libraries: Sequence[Path]) -> dict[str, str]:
    """Names that no library holds, each with the one that is meant, or "" where none is alike.

    A compiler may keep a name in pieces, or run several together: only a likeness tells that one is wrong.
    """
    alone, anywhere, words = set[str](), set[str](), set[str]()
    for library in libraries if names else ():
        with library.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as held:
            anywhere |= {name for name in names if held.find(name.encode()) >= 0}
            alone |= {
                n for n in anywhere if re.search(re.escape(n.encode()) + rb"(?![\w.])", held)
            }
            words |= {m[0].decode() for m in _NAME.finditer(held)} if {*names} - alone else set()
    near = {name: _find_meant(name, words) for name in sorted({*names} - alone)}
    return {name: nearest for name, nearest in near.items() if nearest or name not in anywhere}


def _find_meant(name: str, words: Collection[str]) -> str:
    """The word that a name is a typo of; a library has 100,000, of which few are as long."""
    alike = [
        w for w in words
        if abs(len(w) - len(name)) <= 2 and ("." in w) == ("." in name)
    ]  # fmt: skip
    return next(iter(difflib.get_close_matches(name, alike, n=1, cutoff=SURE)), "")


def find_engine() -> list[Path]:
    """The libraries of this environment's ONNX Runtime."""
    found = importlib.util.find_spec("onnxruntime")
    folders = [Path(p) for p in found.submodule_search_locations or ()] if found else []
    return [p for folder in folders for p in sorted(folder.glob("capi/*.so*")) if p.is_file()]


def main(argv: list[str]) -> int:
    """A provider or plug-in, its options and session entries as JSON; prints what speaks against them."""
    if argv[:1] in (["-h"], ["--help"]):
        print(main.__doc__)
        return 0
    job = json.loads(argv[0])
    refusal = try_options(job["provider"], job["options"], job["plugin"]) if job["options"] else ""
    absent: dict[str, str] = {}
    with suppress(OSError, ValueError):
        mine = [Path(plugins.library_path(job["plugin"]["library"]))] if job["plugin"] else []
        absent |= find_absent(job["session_config"], [*find_engine(), *mine])
        absent |= find_absent(list(job["options"]) if mine else [], mine)
    print(json.dumps({"refusal": refusal, "absent": absent}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
