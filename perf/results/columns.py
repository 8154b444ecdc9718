"""Row types of tables: a field is a column, which says what it means and what its value is drawn from."""

import functools
import typing
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, Generic, TypeAlias, TypeVar

Scalar: TypeAlias = str | int | float
Value: TypeAlias = Scalar | bool | tuple[Scalar, ...] | Mapping[str, Scalar] | None
Subject = TypeVar("Subject")
Inner = TypeVar("Inner")
Drawn = TypeVar("Drawn")
Row = TypeVar("Row")
Found: TypeAlias = dict[object, Any]  # what each source holds, while one row is drawn


class ColumnSource(Generic[Subject]):
    """Declares columns that are drawn from one kind of subject, and are unknown where there is none."""

    def __init__(
        self, find: Callable[[Any, Found], Subject | None] = lambda root, _found: root
    ) -> None:
        self._find = find

    def __call__(
        self, meaning: str, draw: Callable[[Subject], Drawn | None], header: str = ""
    ) -> Drawn:
        """A column: what it means, its value, and its header where that is not the field's name."""

        def draw_from(root: Any, found: Found) -> Drawn | None:
            subject = self.find_in(root, found)
            return None if subject is None else draw(subject)

        metadata = {"meaning": meaning, "header": header, "draw": draw_from}
        column: Drawn = field(metadata=metadata)
        return column

    def through(self, find: Callable[[Subject], Inner | None]) -> "ColumnSource[Inner]":
        """The source of something that this subject holds, and may lack."""

        def find_inner(root: Any, found: Found) -> Inner | None:
            subject = self.find_in(root, found)
            return None if subject is None else find(subject)

        return ColumnSource(find_inner)

    def find_in(self, root: Any, found: Found) -> Subject | None:
        """The subject that `root` holds; many columns share one, so it is found once a row."""
        try:
            subject: Subject | None = found[self]
        except KeyError:
            subject = found[self] = self._find(root, found)
        return subject


def draw_row(row: type[Row], root: object) -> Row:
    """A row of which every column is drawn from what `root` holds."""
    kind: Any = row  # a dataclass, which no type says
    found: Found = {}
    drawn = {name: draw(root, found) for name, draw in _drawers(kind)}
    unknown = unknown_values(kind)
    return row(**{k: unknown[k] if v is None else v for k, v in drawn.items()})


@functools.cache
def field_names(row: type) -> tuple[str, ...]:
    """The fields of a row type, in the order of its columns: looked up once, as rows are many."""
    return tuple(f.name for f in fields(row))


@functools.cache
def _drawers(row: Any) -> tuple[tuple[str, Callable[[object, Found], Value]], ...]:
    """The columns of a row type and how each is drawn."""
    return tuple((f.name, f.metadata["draw"]) for f in fields(row))


def column_names(row: type) -> tuple[str, ...]:
    """The headers of a row type, in order."""
    return tuple(f.metadata["header"] or f.name for f in fields(row))


@functools.cache
def column_types(row: type) -> Mapping[str, Any]:
    """What each column of a row type holds, by the name of its field."""
    return typing.get_type_hints(row)


@functools.cache
def unknown_values(row: type) -> Mapping[str, Value]:
    """What each column of a row type holds where nothing is known, by the name of its field."""
    return {name: unknown_value(hint) for name, hint in column_types(row).items()}


def row_values(row: Any) -> tuple[Value, ...]:
    """A row's values in the order of its headers."""
    kind: Any = type(row)
    return tuple(getattr(row, name) for name in field_names(kind))


def unknown_value(hint: Any) -> Value:
    """What a column of this type holds where nothing is known; never 0."""
    origin = typing.get_origin(hint)
    return "" if hint is str else () if origin is tuple else {} if origin is Mapping else None
