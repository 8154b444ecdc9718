"""The hosts that took part in a run: a record each, under a key that its launches name."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from perf.machine.system import SystemInfo
from perf.results import run_folder
from perf.schema import atomic_file, codec
from perf.schema.cell import safe_name
from perf.schema.version import stamp

FOLDER = "hosts"


def host_key(host: SystemInfo) -> str:
    """A host's name and 8 hex of all that its record says: another boot or driver is another key."""
    text = json.dumps(codec.encode(host), sort_keys=True)
    return f"{safe_name(host.hostname)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def host_name(key: str) -> str:
    """The host's name in a key; "" for "", which launches of earlier versions have."""
    return key.rpartition("-")[0]


def write_host_record(root: Path, host: SystemInfo) -> str:
    """Keep a host's record in a run's folder; returns its key. Raises OSError."""
    key = host_key(host)
    path = root / FOLDER / f"{key}.json"
    if not path.exists():
        atomic_file.write_json(path, stamp(codec.encode(host)))
    return key


def read_host_records(root: Path) -> Mapping[str, SystemInfo]:
    """The hosts of a run by key, those that can be read; raises NewerSchemaError."""
    out = {}
    for path in sorted((root / FOLDER).glob("*.json")):
        told = run_folder.read_json(path)
        with suppress(codec.DecodeError):
            out[path.stem] = codec.decode(SystemInfo, told)
    return out


def common_facts(hosts: Sequence[SystemInfo]) -> SystemInfo | None:
    """One record of what all hosts have, and nothing of what they differ in; None for unlike ones."""
    sizes = {(h.logical_cores, h.usable_cores) for h in hosts}
    if len(sizes) != 1:
        return None
    first = hosts[0]
    names = list(dict.fromkeys(h.hostname for h in hosts))
    unknown: dict[str, Any] = {}
    for f in fields(SystemInfo):
        if any(getattr(h, f.name) != getattr(first, f.name) for h in hosts):
            value = getattr(first, f.name)
            unknown[f.name] = type(value)() if isinstance(value, str | tuple | Mapping) else None
    unknown["hostname"] = names[0] if len(names) == 1 else f"{len(names)} hosts"
    return replace(first, **unknown)
