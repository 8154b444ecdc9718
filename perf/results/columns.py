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


class ColumnSource(Generic[Subject]):
    """Declares columns that are drawn from one kind of subject, and are unknown where there is none."""

    def __init__(self, find: Callable[[Any], Subject | None] = lambda root: root) -> None:
        self._find = find

    def __call__(
        self, meaning: str, draw: Callable[[Subject], Drawn | None], header: str = ""
    ) -> Drawn:
        """A column: what it means, its value, and its header where that is not the field's name."""
        metadata = {"meaning": meaning, "header": header, "draw": self.through(draw)._find}
        column: Drawn = field(metadata=metadata)
        return column

    def through(self, find: Callable[[Subject], Inner | None]) -> "ColumnSource[Inner]":
        """The source of something that this subject holds, and may lack."""

        def find_inner(root: Any) -> Inner | None:
            subject = self._find(root)
            return None if subject is None else find(subject)

        return ColumnSource(find_inner)


def draw_row(row: type[Row], root: object) -> Row:
    """A row of which every column is drawn from what `root` holds."""
    kind: Any = row  # a dataclass, which no type says
    drawn = {f.name: f.metadata["draw"](root) for f in fields(kind)}
    unknown = {name: unknown_value(hint) for name, hint in column_types(kind).items()}
    return row(**{k: unknown[k] if v is None else v for k, v in drawn.items()})


def column_names(row: type) -> tuple[str, ...]:
    """The headers of a row type, in order."""
    return tuple(f.metadata["header"] or f.name for f in fields(row))


@functools.cache
def column_types(row: type) -> Mapping[str, Any]:
    """What each column of a row type holds, by the name of its field."""
    return typing.get_type_hints(row)


def row_values(row: Any) -> tuple[Value, ...]:
    """A row's values in the order of its headers."""
    return tuple(getattr(row, f.name) for f in fields(row))


def unknown_value(hint: Any) -> Value:
    """What a column of this type holds where nothing is known; never 0."""
    origin = typing.get_origin(hint)
    return "" if hint is str else () if origin is tuple else {} if origin is Mapping else None
