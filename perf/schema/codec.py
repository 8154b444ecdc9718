"""Frozen dataclasses to JSON values and back, with unions told apart by a tag that outlives class names."""

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
PLAIN = (int, float, str)
_JSON = frozenset((int, float, str, bool))  # exactly these: an enum's members are strings too
TAG = "is"  # the key that holds the tag where a field's type is a union of dataclasses
_TAG_OF_CLASS = "_tag"


class DecodeError(ValueError):
    """A JSON value does not fit the type it is read as; the message says where and why."""


def with_tag(tag: str) -> Callable[[type[T]], type[T]]:
    """A class decorator: the fixed string that stands for a class in files, whatever its name in code."""

    def mark(kind: type[T]) -> type[T]:
        setattr(kind, _TAG_OF_CLASS, tag)
        return kind

    return mark


def tag_of(kind: type) -> str:
    """The tag of a class; raises AttributeError for one that was given none."""
    tag: str = getattr(kind, _TAG_OF_CLASS)
    return tag


def encode(value: Any, *, tag: bool = False) -> Any:
    """Turn a dataclass tree into JSON values; `tag` adds the class's tag to the outermost object."""
    if value is None or type(value) in _JSON:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        out = {TAG: tag_of(type(value))} if tag else {}
        for name, in_union in _tagged_fields(type(value)):
            out[name] = encode(getattr(value, name), tag=in_union)
        return out
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): encode(v, tag=tag) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        if set(map(type, value)) <= _JSON:
            return list(value)  # samples by the hundred thousand, without a call for each
        return [encode(v, tag=tag) for v in value]
    return value


def decode(kind: type[T], value: Any, where: str = "$") -> T:
    """Read a JSON value as `kind`; raises DecodeError with the place in the document."""
    return typing.cast(T, _decode(kind, value, where))


def decode_union(kinds: tuple[type[T], ...], value: Any, where: str = "$") -> T:
    """Read a tagged JSON object as one of `kinds`."""
    by_name = {tag_of(k): k for k in kinds}
    name = value.get(TAG) if isinstance(value, dict) else None
    if not isinstance(name, str) or name not in by_name:
        raise DecodeError(f"{where}: expected one of {', '.join(by_name)}, got {value!r:.80}")
    return decode(by_name[name], {k: v for k, v in value.items() if k != TAG}, where)


def learn_fields(*kinds: type) -> None:
    """Look up the fields of dataclasses, and of those in them, ahead: a fork inherits what is known."""
    for kind in kinds:
        _tagged_fields(kind)
        for hint in _hints(kind).values():
            inside = (hint, *_parts(hint)[1])
            learn_fields(
                *(k for k in inside if isinstance(k, type) and dataclasses.is_dataclass(k))
            )


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@functools.cache
def _tagged_fields(kind: type) -> tuple[tuple[str, bool], ...]:
    """Names of a dataclass's fields, and whether each holds a union of dataclasses."""
    hints = _hints(kind)
    return tuple((f.name, _holds_union(hints[f.name])) for f in dataclasses.fields(kind))


def _holds_union(hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return sum(dataclasses.is_dataclass(a) for a in args) > 1
    return any(_holds_union(a) for a in args if a is not Ellipsis)


@functools.cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return typing.get_origin(hint), typing.get_args(hint)


@functools.cache
def _classes(args: tuple[Any, ...]) -> tuple[type, ...]:
    return tuple(a for a in args if isinstance(a, type) and dataclasses.is_dataclass(a))


def _decode(hint: Any, value: Any, where: str) -> Any:
    if type(value) is hint or hint is Any:
        return value
    origin, args = _parts(hint)
    if origin in (types.UnionType, typing.Union):
        return _decode_union(args, value, where)
    if origin is tuple:
        _expect(isinstance(value, list), "a list", value, where)
        if len(args) == 2 and args[1] is Ellipsis:
            if args[0] in PLAIN and set(map(type, value)) <= {args[0]}:
                return tuple(value)  # samples by the hundred thousand, without a call for each
            return tuple(_decode(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        _expect(len(value) == len(args), f"a list of {len(args)}", value, where)
        return tuple(
            _decode(a, v, f"{where}[{i}]")
            for i, (a, v) in enumerate(zip(args, value, strict=True))
        )
    if origin in (dict, Mapping) or origin is typing.get_origin(Mapping[str, int]):
        _expect(isinstance(value, dict), "an object", value, where)
        return {k: _decode(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _decode_dataclass(hint, value, where)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError as e:
            raise DecodeError(f"{where}: {e}") from e
    return _decode_plain(hint, value, where)


def _decode_plain(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    fits = isinstance(value, hint) and (hint is not int or not isinstance(value, bool))
    _expect(fits, hint.__name__, value, where)
    return value


def _decode_union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in args:
        return None
    classes = _classes(args)
    if len(classes) > 1:
        return decode_union(classes, value, where)
    rest = [a for a in args if a is not type(None)]
    errors = []
    for hint in rest:
        try:
            return _decode(hint, value, where)
        except DecodeError as e:
            errors.append(str(e))
    raise DecodeError(errors[0] if errors else f"{where}: nothing fits {value!r:.80}")


def _decode_dataclass(kind: type, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), f"an object ({kind.__name__})", value, where)
    hints = _hints(kind)
    unknown = set(value) - set(hints) - {TAG}
    if unknown:
        raise DecodeError(f"{where}: unknown field {sorted(unknown)[0]!r} of {kind.__name__}")
    try:
        return kind(
            **{k: _decode(hints[k], v, f"{where}.{k}") for k, v in value.items() if k != TAG}
        )
    except TypeError as e:
        raise DecodeError(f"{where}: {e}") from e


def _expect(fits: bool, what: str, value: Any, where: str) -> None:
    if not fits:
        raise DecodeError(f"{where}: expected {what}, got {value!r:.80}")
