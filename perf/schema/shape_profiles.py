"""Shapes that a TensorRT engine is built for, min:opt:max per input, in each engine's own spelling."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]
KEYS = ("trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes")


@dataclass(frozen=True)
class ShapeProfile:
    """One input's shapes: an engine serves every shape between min and max, and is tuned for opt."""

    name: str
    min: Shape
    opt: Shape
    max: Shape

    def __post_init__(self) -> None:
        if not len(self.min) == len(self.opt) == len(self.max):
            raise ValueError(f"profile of {self.name!r}: min, opt and max differ in rank")
        for low, mid, high in zip(self.min, self.opt, self.max, strict=True):
            if not 0 <= low <= mid <= high:
                raise ValueError(f"profile of {self.name!r}: not 0 <= {low} <= {mid} <= {high}")

    def serves(self, shape: Shape) -> bool:
        """Whether a tensor of this shape runs without a rebuild."""
        return len(shape) == len(self.min) and all(
            low <= n <= high for low, n, high in zip(self.min, shape, self.max, strict=True)
        )


def parse_profile(text: str) -> ShapeProfile:
    """Read `name=1x3x224x224:4x3x224x224:8x3x224x224`, or `name=SHAPE` for min = opt = max.

    Everything before the last '=' is the name, so names may hold ':' and '='. Raises ValueError.
    """
    name, equals, shapes = text.rpartition("=")
    parts = shapes.split(":")
    if not equals or not name or len(parts) not in (1, 3):
        raise ValueError(f"--trt_profile {text!r}: expected name=MIN:OPT:MAX, as in x=1x3:4x3:8x3")
    try:
        low, mid, high = (_shape(p) for p in (parts if len(parts) == 3 else parts * 3))
        return ShapeProfile(name, low, mid, high)
    except ValueError as e:
        raise ValueError(f"--trt_profile {text!r}: {e}") from e


def parse_profiles(texts: Iterable[str]) -> tuple[ShapeProfile, ...]:
    """Read every `--trt_profile`; raises ValueError where an input is named twice."""
    out = tuple(parse_profile(t) for t in texts)
    for name, count in Counter(p.name for p in out).items():
        if count > 1:
            raise ValueError(f"--trt_profile: {name!r} is given {count} times")
    return out


def profile_options(texts: Iterable[str]) -> Mapping[str, str]:
    """`--trt_profile` as the options of every target that builds engines; raises ValueError."""
    return to_options(parse_profiles(texts))


def covering_profiles(fed: Sequence[Mapping[str, Shape]]) -> tuple[ShapeProfile, ...]:
    """The narrowest profiles that serve every set of inputs fed; opt is the shape fed most often."""
    out = []
    for name in fed[0] if fed else ():
        shapes = [one[name] for one in fed]
        if len({len(s) for s in shapes}) != 1:
            raise ValueError(f"{name!r} is fed with tensors of different ranks")
        columns = list(zip(*shapes, strict=True))
        opt = Counter(shapes).most_common(1)[0][0]
        out.append(ShapeProfile(name, tuple(map(min, columns)), opt, tuple(map(max, columns))))
    return tuple(out)


def merge_profiles(
    given: Sequence[ShapeProfile], fed: Sequence[Mapping[str, Shape]]
) -> tuple[ShapeProfile, ...]:
    """What was asked for, by name or by place (`@0`), and for the other inputs what covers the shapes fed.

    Raises ValueError where a profile names no input, or does not serve a shape that will be fed.
    """
    places = {f"@{i}": name for i, name in enumerate(fed[0] if fed else ())}
    named = (replace(p, name=places.get(p.name, p.name)) for p in given)
    by_name = {p.name: p for p in named}
    out = tuple(by_name.pop(p.name, p) for p in covering_profiles(fed))
    if by_name:
        raise ValueError(f"--trt_profile: the model has no input {next(iter(by_name))!r}")
    for profile in out:
        for one in fed:
            if not profile.serves(one[profile.name]):
                raise ValueError(
                    f"--trt_profile: {profile.name!r} is fed {_text(one[profile.name])}, outside "
                    f"{_text(profile.min)}…{_text(profile.max)}; widen the profile"
                )
    return out


def to_options(profiles: Sequence[ShapeProfile]) -> Mapping[str, str]:
    """The TensorRT EP's three options; also how a cell carries profiles to the other TensorRT targets.

    ORT cuts the strings at ',' and at the first ':' of each part, so such names raise ValueError; a scalar
    has no shape to tell and is left out.
    """
    shaped = [p for p in profiles if p.opt]
    for p in shaped:
        if "," in p.name or ":" in p.name:
            raise ValueError(f"profile of {p.name!r}: ORT cannot take ',' or ':' in a name")
    if not shaped:
        return {}
    lists = ([p.min for p in shaped], [p.opt for p in shaped], [p.max for p in shaped])
    return {
        key: ",".join(f"{p.name}:{_text(s)}" for p, s in zip(shaped, shapes, strict=True))
        for key, shapes in zip(KEYS, lists, strict=True)
    }


def from_options(options: Mapping[str, str]) -> tuple[ShapeProfile, ...]:
    """Read what `to_options` wrote, or a user gave as trt_profile_*_shapes; raises ValueError."""
    given = [k for k in KEYS if options.get(k)]
    if not given:
        return ()
    if len(given) != len(KEYS):
        raise ValueError(f"{', '.join(KEYS)} go together; only {', '.join(given)} given")
    low, mid, high = (_pairs(options[k]) for k in KEYS)
    if not low.keys() == mid.keys() == high.keys():
        raise ValueError(f"{', '.join(KEYS)}: they name different inputs")
    return tuple(ShapeProfile(n, low[n], mid[n], high[n]) for n in low)


def trtexec_flags(profiles: Sequence[ShapeProfile]) -> tuple[str, ...]:
    """trtexec's --minShapes, --optShapes and --maxShapes; raises ValueError for names it would cut.

    trtexec cuts the list at every ',', drops single quotes, and takes what follows a part's last ':' for the
    shape, so a name may hold ':' but neither ',' nor a quote.
    """
    shaped = [p for p in profiles if p.opt]
    for p in shaped:
        if "," in p.name or "'" in p.name:
            raise ValueError(f"profile of {p.name!r}: trtexec cannot take ',' or ' in a name")
    if not shaped:
        return ()
    lists = ([p.min for p in shaped], [p.opt for p in shaped], [p.max for p in shaped])
    return tuple(
        f"--{which}Shapes="
        + ",".join(f"{p.name}:{_text(s)}" for p, s in zip(shaped, shapes, strict=True))
        for which, shapes in zip(("min", "opt", "max"), lists, strict=True)
    )


def _pairs(text: str) -> dict[str, Shape]:
    out: dict[str, Shape] = {}
    for part in text.split(","):
        name, colon, shape = part.partition(":")
        if not colon or not name or name in out:
            raise ValueError(f"{text!r}: expected name:1x3,other:1x4, each name once")
        out[name] = _shape(shape)
    return out


def _shape(text: str) -> Shape:
    if text == "scalar":
        return ()
    parts = text.split("x")
    if not all(p.isascii() and p.isdigit() for p in parts):
        raise ValueError(f"{text!r} is not a shape such as 1x3x224x224")
    return tuple(int(p) for p in parts)


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
