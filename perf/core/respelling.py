"""A command line written out again from what was parsed of it, by the table of flags, none forgotten."""

from collections.abc import Collection, Sequence
from typing import Any

from perf.core.flag_table import FLAGS
from perf.core.flags import Flag
from perf.core.options import normalised, parser


def respelled(argv: Sequence[str], leave_out: Collection[str]) -> list[str]:
    """The flags that `argv` gives, with their values as given, less those named in `leave_out`."""
    given = vars(parser("").parse_args(normalised(argv)))
    out: list[str] = []
    for flag in FLAGS:
        if flag.name in given and flag.name not in leave_out:
            out += _words(flag, given[flag.name])
    return out


def _words(flag: Flag, value: Any) -> list[str]:
    name = f"--{flag.name}"
    if flag.switch:
        return [name if value else f"--no_{flag.name}"]
    if flag.counted:
        return [name] * int(value)
    uses = value if flag.repeated else [value]
    return [w for use in uses for w in (name, *([use] if isinstance(use, str) else use))]
