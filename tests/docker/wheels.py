"""Makes tiny wheels, so that a real pip installs and a real interpreter imports without an index."""

import zipfile
from collections.abc import Mapping
from pathlib import Path


def make_wheel(folder: Path, project: str, version: str, files: Mapping[str, str]) -> Path:
    """A pure-Python wheel of these files."""
    stem = f"{project}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    info = f"{stem}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in content) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**content, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path
