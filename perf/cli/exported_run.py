"""A folder with a model, its export and what it was made with, as `key=value` words ask for it."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.schema import atomic_file
from perf.schema.untrusted_file import read_whole

DESCRIPTION = "export.json"
MODEL = "model.ts"
ENTRY = "network.py"
PARTS = ("fp32", "bf16", "fp16")  # in the order that a combination spells them


@dataclass(frozen=True)
class ExportedRun:
    """What a folder holds beside the TorchScript file."""

    model: str
    height: int
    width: int
    amp_dtype: str
    enabled_precisions: str
    optimiser: str
    weights: str


def make_parser(program: str, about: str, keys: Mapping[str, str]) -> CommandParser:
    """A program that takes words such as n_iter=100."""
    parser = CommandParser(
        program, f"{about} Words: {', '.join(f'{k}={v}' for k, v in keys.items())}."
    )
    parser.add_argument("words", nargs="*", help="key=value")
    return parser


def read_words(words: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """Words such as n_iter=100 over their defaults; --n_iter=100 too. Raises BadRequestError for a typo."""
    given = dict(known)
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if name not in known or not equals:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"nearest is {near[0]}=" if near else f"known are {', '.join(known)}"
            raise BadRequestError(f"{word}: no such key=value; {hint}")
        given[name] = value
    return given


def read_number(given: Mapping[str, str], name: str) -> int:
    """A value from 1 on; raises BadRequestError."""
    if not given[name].isdigit() or int(given[name]) < 1:
        raise BadRequestError(f"{name}={given[name]}: expected a number from 1 on")
    return int(given[name])


def read_switch(given: Mapping[str, str], name: str) -> bool:
    """True or False; raises BadRequestError."""
    value = given[name].lower()
    if value not in ("true", "false"):
        raise BadRequestError(f"{name}={given[name]}: use True or False")
    return value == "true"


def read_precision(text: str, name: str) -> str:
    """fp32, tf32, fp16, bf16 or parts joined by +, in one order; raises BadRequestError."""
    parts = [p.strip() for p in text.strip("[] ").replace(",", "+").split("+") if p.strip()]
    if parts == ["tf32"]:
        return "tf32"
    if not parts or (wrong := [p for p in parts if p not in PARTS]):
        known = ", ".join(("tf32", *PARTS))
        raise BadRequestError(
            f"{name}: {(wrong or [text])[0]!r} is none of {known}, or of those joined by +"
        )
    return "+".join(p for p in PARTS if p in parts)


def new_folder(base: Path = Path("outputs")) -> Path:
    """outputs/DATE/TIME, as the original names them."""
    now = datetime.now()
    return base / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}"


def write_folder(folder: Path, run: ExportedRun) -> Path:
    """Write what the folder was made with, and an entry point for the model as it was before its export."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_file.write_json(folder / DESCRIPTION, asdict(run))
    made = f"vitdet.build({run.height}, {run.width}, {run.weights!r})"
    source = (
        '"""The model of this folder before its export."""\n\nfrom typing import Any\n\n'
        f"from setup_models.networks import vitdet\n\n\ndef model() -> Any:\n    return {made}\n"
    )
    (folder / ENTRY).write_text(source, encoding="utf-8")
    return folder / ENTRY


def read_folder(path: str) -> ExportedRun:
    """What an export wrote; raises BadRequestError where it is none."""
    if not path:
        raise BadRequestError(
            "compile_run_path=FOLDER is missing: python -m scripts.export_tensorrt makes one"
        )
    file = Path(path) / DESCRIPTION
    try:
        told: Any = json.loads(read_whole(file, 1 << 20, follow=True))
        fields = {k: told[k] for k in ExportedRun.__dataclass_fields__}
    except FileNotFoundError:
        raise BadRequestError(
            f"{path}: no {DESCRIPTION} there; python -m scripts.export_tensorrt makes such a folder"
        ) from None
    except OSError as e:
        raise BadRequestError(f"{file}: {e.strerror}") from e
    except (ValueError, KeyError, TypeError) as e:
        raise BadRequestError(f"{file}: not what an export writes: {type(e).__name__} {e}") from e
    return ExportedRun(**fields)
