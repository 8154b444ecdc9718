"""Where the paths of a request lie on this host, where another host's lie elsewhere: --map_path OLD=NEW."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from perf.request.options import Options

# -m and the lists that it names are mapped as they are read.
PATHS = ("inputs", "custom_ops", "expected", "keep_cache", "trtexec", "workspace", "env", "plugin")


def read_at(path: str, mapped: Mapping[str, str]) -> str:
    """Where a path lies on this host: the longest OLD of --map_path that it begins with, made NEW."""
    fitting = [old for old in mapped if path == old or path.startswith(old.rstrip("/") + "/")]
    if not fitting:
        return path
    old = max(fitting, key=len)
    return mapped[old].rstrip("/") + path[len(old.rstrip("/")) :]


def map_paths(options: Options) -> Options:
    """The request with the paths that its flags name as they lie on this host."""
    if not options.map_path:
        return options
    here = {name: _map(getattr(options, name), options.map_path) for name in PATHS}
    return replace(options, **here)


def as_given(value: Any, options: Options) -> Any:
    """A flag's value before `map_paths`, by which hosts know that they serve one plan."""
    return _map(value, {new: old for old, new in options.map_path.items()})


def _map(value: Any, mapped: Mapping[str, str]) -> Any:
    match value:
        case str():
            return read_at(value, mapped)
        case tuple():
            return tuple(_map(v, mapped) for v in value)
        case Mapping():
            return {k: _map(v, mapped) for k, v in value.items()}
        case _:
            return value
