"""Frozen dataclasses to JSON values and back, with unions told apart by a tag that outlives class names."""

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
PLAIN = (int, float, str)
_JSON = frozenset((int, float, str, bool))  # exactly these: an enum's members are strings too
TAG = "is"  # the key that holds the tag where a field's type is a union of dataclasses
_TAG_OF_CLASS = "_tag"


class DecodeError(ValueError):
    """A JSON value does not fit the type it is read as; the message says where and why."""

    def __init__(self, why: str, where: str = "") -> None:
        super().__init__(why)
        self.why, self.where = why, where  # the place is told on the way out, by who knows it

    def __str__(self) -> str:
        return f"{self.where}: {self.why}" if self.where else self.why

    def inside(self, place: str) -> "DecodeError":
        """The same, seen from one step further out."""
        return DecodeError(self.why, place + self.where)


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


Reader: TypeAlias = Callable[[Any], Any]  # a JSON value to the value it stands for


def decode(kind: type[T], value: Any, where: str = "$") -> T:
    """Read a JSON value as `kind`; raises DecodeError with the place in the document."""
    try:
        return typing.cast(T, _reader(typing.cast(Any, kind))(value))
    except DecodeError as e:
        raise e.inside(where) from None


def decode_union(kinds: tuple[type[T], ...], value: Any, where: str = "$") -> T:
    """Read a tagged JSON object as one of `kinds`."""
    try:
        return typing.cast(T, _union_reader(kinds)(value))
    except DecodeError as e:
        raise e.inside(where) from None


def learn_fields(*kinds: type) -> None:
    """Look up the fields of dataclasses, and of those in them, ahead: a fork inherits what is known."""
    for kind in kinds:
        _tagged_fields(kind)
        for hint in _hints(kind).values():
            inside = (hint, *typing.get_args(hint))
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
def _reader(hint: Any) -> Reader:
    """The reader of a type, made once: a run has millions of values of a few types."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return lambda value: value
    if origin in (types.UnionType, typing.Union):
        return _alternatives_reader(args)
    if origin is tuple:
        return _list_reader(args[0]) if args[1:] == (Ellipsis,) else _row_reader(args)
    if origin in (dict, Mapping) or origin is typing.get_origin(Mapping[str, int]):
        return _mapping_reader(args[1])
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass_reader(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum_reader(hint)
    return _plain_reader(hint)


def _plain_reader(kind: type) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        if isinstance(value, kind) and not isinstance(value, bool):
            return value
        raise _misfit(kind.__name__, value)

    return read


def _enum_reader(kind: type[enum.Enum]) -> Reader:
    def read(value: Any) -> Any:
        try:
            return kind(value)
        except ValueError as e:
            raise DecodeError(str(e)) from e

    return read


def _list_reader(hint: Any) -> Reader:
    inner, plain = _reader(hint), hint if hint in PLAIN else None

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise _misfit("a list", value)
        if plain is not None and set(map(type, value)) <= {plain}:
            return tuple(value)  # samples by the hundred thousand, without a call for each
        try:
            return tuple([inner(v) for v in value])
        except DecodeError:  # which says where only when it is asked one by one
            return tuple([_at(f"[{i}]", inner, v) for i, v in enumerate(value)])

    return read


def _row_reader(hints: tuple[Any, ...]) -> Reader:
    inner = [_reader(h) for h in hints]

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise _misfit("a list", value)
        if len(value) != len(inner):
            raise _misfit(f"a list of {len(inner)}", value)
        return tuple(
            [_at(f"[{i}]", r, v) for i, (r, v) in enumerate(zip(inner, value, strict=True))]
        )

    return read


def _mapping_reader(hint: Any) -> Reader:
    inner = _reader(hint)

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _misfit("an object", value)
        try:
            return {k: inner(v) for k, v in value.items()}
        except DecodeError:
            return {k: _at(f".{k}", inner, v) for k, v in value.items()}

    return read


def _dataclass_reader(kind: type) -> Reader:
    readers: dict[str, Reader] = {}

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _misfit(f"an object ({kind.__name__})", value)
        if not readers:  # filled on first use, for a type may hold itself
            readers.update({k: _reader(h) for k, h in _hints(kind).items()})
        given = {}
        name = TAG
        try:
            for name, told in value.items():
                if name in readers:
                    given[name] = readers[name](told)
                elif name != TAG:
                    break
            else:
                return kind(**given)
        except DecodeError as e:
            raise e.inside(f".{name}") from None
        except TypeError as e:
            raise DecodeError(str(e)) from e
        raise DecodeError(f"unknown field {name!r} of {kind.__name__}")

    return read


def _alternatives_reader(args: tuple[Any, ...]) -> Reader:
    classes = tuple(a for a in args if isinstance(a, type) and dataclasses.is_dataclass(a))
    if len(classes) > 1:
        inner = [_union_reader(classes)]
    else:
        inner = [_reader(a) for a in args if a is not type(None)]
    optional = type(None) in args
    only = inner[0]

    def read_only(value: Any) -> Any:
        return None if value is None and optional else only(value)

    if len(inner) == 1:
        return read_only

    def read(value: Any) -> Any:
        if value is None and optional:
            return None
        first: DecodeError | None = None
        for reader in inner:
            try:
                return reader(value)
            except DecodeError as e:
                first = first or e
        raise first or _misfit("nothing", value)

    return read


@functools.cache
def _union_reader(kinds: tuple[type, ...]) -> Reader:
    by_tag = {tag_of(k): _reader(k) for k in kinds}

    def read(value: Any) -> Any:
        tag = value.get(TAG) if isinstance(value, dict) else None
        if not isinstance(tag, str) or tag not in by_tag:
            raise _misfit(f"one of {', '.join(by_tag)}", value)
        return by_tag[tag](value)

    return read


def _at(place: str, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except DecodeError as e:
        raise e.inside(place) from None


def _misfit(what: str, value: Any) -> DecodeError:
    return DecodeError(f"expected {what}, got {value!r:.80}")
