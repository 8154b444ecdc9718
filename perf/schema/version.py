"""The version of what run.json, record.json and their like hold, written into each and held to when read."""

from collections.abc import Mapping
from typing import Any

VERSION = 2  # 1: files without a version, as they were written up to November 2026
KEY = "schema"


class NewerSchemaError(Exception):
    """A file that a newer ep-perf wrote; the message names the file and both versions."""


def stamp(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object with the version that it is written in, first."""
    return {KEY: VERSION, **value}


def without_version(value: Any, path: object) -> Any:
    """A document without its version; raises NewerSchemaError for one that this code cannot know.

    What is no object, or has no version, is given back as it is: the decoder says what is wrong with it.
    """
    if not isinstance(value, dict) or KEY not in value:
        return value
    found = value[KEY]
    if isinstance(found, int) and found > VERSION:
        raise NewerSchemaError(
            f"{path}: written by a newer ep-perf (schema {found}; this one reads up to {VERSION}); "
            "read it with that version or a later one"
        )
    return {k: v for k, v in value.items() if k != KEY}
