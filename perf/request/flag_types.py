"""Each flag of the command line: its spelling, its default, its help, and how its text becomes a value."""

import argparse
import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class EpOptions:
    """Options for one target; with a name they make a variant beside the plain cell."""

    target: str
    name: str
    options: Mapping[str, str]


REGISTER_S = 15.0  # for a plug-in's library to be loaded and registered


@dataclass(frozen=True)
class Timeouts:
    """Seconds a launch may take, and, where given, each of its stages."""

    launch_s: float = 1800.0
    stages: Mapping[str, float] = field(default_factory=lambda: {"register": REGISTER_S})


@dataclass(frozen=True)
class Flag:
    """One flag. `plan`: it is part of what a run is, so a resumed run may not change it."""

    name: str
    help: str
    default: Any = None
    short: str = ""
    group: str = ""
    convert: Callable[[Any], Any] = _same
    metavar: str = ""
    nargs: str = ""
    choices: tuple[str, ...] = ()
    const: str | None = None
    switch: bool = False
    counted: bool = False
    repeated: bool = False
    plan: bool = True
    also: str = ""  # the spelling that all our programs share


def words(value: str | Iterable[Any]) -> tuple[str, ...]:
    """Several words, or one quoted string of them as seed 004's README writes it, over several uses."""
    parts = flat([value] if isinstance(value, str) else value)
    return tuple(w for part in parts for w in part.split())


def paths(value: str | Iterable[Any]) -> tuple[str, ...]:
    """Paths from several uses of a flag, or the one that older runs hold."""
    return (value,) if isinstance(value, str) else flat(value)


def flat(value: Iterable[Any]) -> tuple[Any, ...]:
    """What several uses of a repeatable flag gave, in order."""
    return tuple(x for v in value for x in (v if isinstance(v, (list, tuple)) else [v]))


_PAIR = re.compile(r"(?:^|,)(?=[A-Za-z_][\w.]*=)")


def pairs(text: str | Mapping[str, str]) -> dict[str, str]:
    """`k=v,k=v`; a comma begins a new pair only where a key and '=' follow, so values may hold commas."""
    if isinstance(text, Mapping):
        return dict(text)
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):  # as the predecessor's tables print them
        text = text[1:-1]
    out = {}
    for part in (p for p in _PAIR.split(text) if p):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise ValueError(f"{part!r} is not key=value")
        out[key.strip()] = value.strip()
    return out


def merged_pairs(value: str | Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    """Pairs from one or several uses of a flag."""
    if isinstance(value, (str, Mapping)):
        return pairs(value)
    return {k: v for text in value for k, v in pairs(text).items()}


def shape(text: str) -> tuple[str, tuple[int, ...]]:
    """`name=8x3x224x224`; the name may hold '='; a scalar is `name=`."""
    name, equals, dims = text.rpartition("=")
    if not equals or not name or not re.fullmatch(r"(\d+(x\d+)*)?", dims):
        raise ValueError(f"{text!r} is not name=8x3x224x224")
    return name, tuple(int(d) for d in dims.split("x") if d)


Shapes: TypeAlias = Mapping[str, tuple[int, ...]]  # by input


def shapes(value: Iterable[Any] | Mapping[str, Any]) -> tuple[Shapes, ...]:
    """What the uses of --shape ask for, a cell each: an input's first shape goes with every other's first.

    An input that is given one shape has it in every cell. Older runs hold one shape for each input.
    """
    told = [value] if isinstance(value, Mapping) else list(flat(value))
    if told and all(isinstance(one, Mapping) for one in told):
        return tuple({k: tuple(v) for k, v in one.items()} for one in told)
    asked: dict[str, list[tuple[int, ...]]] = {}
    for name, dims in (shape(str(one)) for one in told):
        asked.setdefault(name, []).append(dims)
    count = max((len(given) for given in asked.values()), default=0)
    for name, given in asked.items():
        if len(given) not in (1, count):
            most = next(n for n, other in asked.items() if len(other) == count)
            raise ValueError(
                f"{name} has {len(given)} shapes and {most} {count}: give each input as many, or one"
            )
    sets = [
        {name: given[at if len(given) > 1 else 0] for name, given in asked.items()}
        for at in range(count)
    ]
    return tuple(one for at, one in enumerate(sets) if one not in sets[:at])


def spell_shape(name: str, dims: Iterable[int]) -> str:
    """A shape as --shape takes it and a cell's id shows it: name=8x3x224x224."""
    return f"{name}={'x'.join(map(str, dims))}"


def ep_options(value: Iterable[Any]) -> tuple[EpOptions, ...]:
    """`TARGET:key=value,…` or `TARGET[name]:key=value,…`; TARGET itself may hold one ':' (cuda:fp16)."""
    out = []
    for item in flat(value):
        if isinstance(item, EpOptions):
            out.append(item)
            continue
        if isinstance(item, Mapping):
            out.append(EpOptions(item["target"], item["name"], dict(item["options"])))
            continue
        found = re.fullmatch(r"([^=\[\]]+?)(?:\[([^\]]+)\])?:([A-Za-z_][\w.]*=.*)", item)
        if not found:
            raise ValueError(f"{item!r} is not TARGET:key=value,… or TARGET[name]:key=value,…")
        out.append(EpOptions(found[1], found[2] or "", pairs(found[3])))
    return tuple(out)


def timeouts(value: Any) -> Timeouts:
    """`1800`, or stages apart: `build=3600,run=300`."""
    if isinstance(value, Timeouts):
        return value
    if isinstance(value, Mapping):
        return Timeouts(float(value["launch_s"]), dict(value["stages"]))
    text = str(value)
    if "=" not in text:
        return Timeouts(positive(text))
    stages = {k: positive(v) for k, v in pairs(text).items()}
    known = {"launch", "build", "run", "prepare", "register"}
    if unknown := set(stages) - known:
        raise ValueError(
            f"unknown stage {sorted(unknown)[0]!r}; stages are {', '.join(sorted(known))}"
        )
    return Timeouts(stages.pop("launch", 1800.0), {"register": REGISTER_S, **stages})


MOST = 2**31 - 1  # engines count in 32 bits; in seconds it is 68 years
MOST_RUNS = 200_000  # a launch's samples go through its journal, whose length is bounded
MOST_CORES = 8192  # that Linux can be built for


def positive(value: Any) -> float:
    """A number above zero."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{str(value)!r} is no number") from None
    if not 0 < number <= MOST:
        raise ValueError("must be above 0" if not number > 0 else f"must be at most {MOST}")
    return number


def at_least(minimum: float, kind: type, most: float = MOST) -> Callable[[Any], Any]:
    """A finite number no smaller than `minimum` and no larger than `most`."""

    def convert(value: Any) -> Any:
        number = _number(value, kind)
        if not number >= minimum:
            raise ValueError(f"must be at least {minimum}")
        if not number <= most:
            raise ValueError(f"must be at most {most}")
        return number

    return convert


def below(limit: float) -> Callable[[Any], float]:
    """A tolerance: from 0 to what would let anything pass."""

    def convert(value: Any) -> float:
        number = at_least(0, float, math.inf)(value)
        if not number < limit:
            raise ValueError(f"must be below {limit:g}: that would let anything pass")
        return float(number)

    return convert


def optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """None stays None."""
    return lambda value: None if value is None else convert(value)


def batch_sizes(value: Iterable[Any]) -> tuple[int, ...]:
    """1,4,32 as numbers, each once; raises ValueError for what is no positive number."""
    words = [n.strip() for word in flat(value) for n in str(word).split(",") if n.strip()]
    sizes = [_number(n, int) for n in words]
    if any(n < 1 for n in sizes):
        raise ValueError("a batch is 1 or more")
    return tuple(dict.fromkeys(sizes))


def argument(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """A conversion as argparse takes it, whose refusal keeps its own words."""

    def parse(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as e:
            raise argparse.ArgumentTypeError(str(e)) from e

    return parse


def integers(value: Any) -> tuple[int, ...]:
    """`0,1,4-6`."""
    if not isinstance(value, str):
        return tuple(int(v) for v in value)
    out: list[int] = []
    for part in (p for p in value.split(",") if p):
        low, _, high = part.partition("-")
        first, last = _number(low, int), _number(high or low, int)
        if not first <= last < MOST_CORES:
            raise ValueError(f"{part} is no range of cores; cores are 0 to {MOST_CORES - 1}")
        out.extend(range(first, last + 1))
    return tuple(out)


def _number(value: Any, kind: type) -> Any:
    try:
        return kind(value)
    except ValueError:
        if (text := str(value)).isdigit():
            raise  # it has more digits than Python reads
        what = "whole number" if kind is int else "number"
        raise ValueError(f"{text!r} is no {what}") from None


def io_binding(value: Any) -> str:
    """off, on or both; the predecessor's True and False are understood."""
    text = str(value).lower()
    known = {
        "true": "on",
        "1": "on",
        "false": "off",
        "0": "off",
        "on": "on",
        "off": "off",
        "both": "both",
    }
    if text not in known:
        raise ValueError("use on, off or both")
    return known[text]


def _by_name(form: str) -> Callable[[Any], dict[str, str]]:
    """NAME=VALUE from several uses of a flag."""

    def convert(value: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
        if isinstance(value, Mapping):
            return dict(value)
        out = {}
        for text in flat(value):
            name, equals, given = text.partition("=")
            if not equals or not re.fullmatch(r"[\w.-]+", name) or not given:
                raise ValueError(f"{text!r} is not {form}")
            out[name] = given
        return out

    return convert


environments = _by_name("NAME=PYTHON, NAME=WHEEL or NAME='PACKAGE==VERSION …'")
plugins = _by_name("NAME=LIBRARY or NAME=LIBRARY:EP_NAME")


def prefix(value: str) -> str:
    """A command line that shlex can split."""
    shlex.split(value)
    return value


def check_baseline(name: str) -> str:
    """A name for a run: letters, digits, '.', '_' and '-', and no other word for one; raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) or name.startswith("latest"):
        raise ValueError("use letters, digits, '.', '_' and '-', and another word than latest")
    return name


def shard(value: str) -> str:
    """`I/N`, I in 1…N; "" for the whole plan."""
    if not value:
        return ""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", value)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError("use I/N with I in 1…N")
    return f"{int(found[1])}/{int(found[2])}"


def path_map(value: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    """OLD=NEW from several uses of --map_path."""
    if isinstance(value, Mapping):
        return dict(value)
    out = {}
    for text in flat(value):
        old, equals, new = text.partition("=")
        if not old or not equals or not new:
            raise ValueError(f"{text!r} is not OLD=NEW")
        out[old] = new
    return out
