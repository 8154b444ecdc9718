"""Which image flavours exist, whether the parts of each fit, and the build arguments they take."""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSIONS = Path(__file__).with_name("versions.toml")
PINNED_PACKAGE = re.compile(r"[\w-]+==[\w.]+")
PINNED_IMAGE = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Ort:
    """A released ONNX Runtime wheel and what it was built for."""

    package: str
    cuda: str
    cudnn: int
    tensorrt: int  # major version of the libnvinfer that its TensorRT EP loads
    pythons: tuple[str, ...]
    architectures: tuple[int, ...]  # compute capability x 10


@dataclass(frozen=True)
class CudaRelease:
    """A CUDA toolkit's limits."""

    oldest_architecture: int
    driver: int


@dataclass(frozen=True)
class Tensorrt:
    """A TensorRT release as NVIDIA's Debian packages."""

    version: str  # of the packages, as apt spells it
    cuda: str
    oldest_architecture: int


@dataclass(frozen=True)
class Torch:
    """A PyTorch build with CUDA's libraries in it, and the torchvision that loads beside it."""

    torchvision: str
    pythons: tuple[str, ...]


@dataclass(frozen=True)
class Flavour:
    """One image: its bases, the parts installed on them, and the targets it must be able to run."""

    target: str  # the Dockerfile's stage
    image: str
    python: str
    targets: tuple[str, ...]
    build_image: str = ""
    cuda: str = ""
    cudnn: int = 0
    tensorrt: str = ""
    ort: str = ""
    architectures: tuple[int, ...] = ()
    torch: str = ""
    lab: tuple[str, ...] = ()  # what notebooks need, pinned


@dataclass(frozen=True)
class PinnedVersions:
    """All of versions.toml."""

    ort: Mapping[str, Ort]
    cuda: Mapping[str, CudaRelease]
    tensorrt: Mapping[str, Tensorrt]
    torch: Mapping[str, Torch]
    flavours: Mapping[str, Flavour]


def load(path: Path = VERSIONS) -> PinnedVersions:
    """Read the file; raises ValueError in one line if it is not what the types above say."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return PinnedVersions(
            ort={k: Ort(**_tuples(v)) for k, v in data["ort"].items()},
            cuda={k: CudaRelease(**v) for k, v in data["cuda"].items()},
            tensorrt={k: Tensorrt(**v) for k, v in data["tensorrt"].items()},
            torch={k: Torch(**_tuples(v)) for k, v in data["torch"].items()},
            flavours={k: Flavour(**_tuples(v)) for k, v in data["flavours"].items()},
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a list of versions: {error}") from error


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}


def problems(versions: PinnedVersions) -> tuple[str, ...]:
    """Every way in which a flavour's parts do not fit each other, a line each; empty when all fit."""
    found: list[str] = []
    for name, flavour in versions.flavours.items():
        found += (f"flavours.{name}: {p}" for p in _flavour_problems(versions, flavour))
    return tuple(found)


def _flavour_problems(versions: PinnedVersions, flavour: Flavour) -> Iterator[str]:
    for image in filter(None, (flavour.image, flavour.build_image)):
        if not PINNED_IMAGE.fullmatch(image):
            yield f"image {image} is not pinned as name:tag@sha256:digest"
    yield from _torch_problems(versions, flavour)
    if not flavour.cuda:
        if flavour.ort or flavour.tensorrt or flavour.architectures:
            yield "names GPU parts but no cuda"
        return
    cuda = versions.cuda.get(flavour.cuda)
    ort = versions.ort.get(flavour.ort)
    if cuda is None or ort is None:
        yield f"cuda {flavour.cuda!r} or ort {flavour.ort!r} has no table of its own"
        return
    yield from _image_problems(flavour)
    yield from _ort_problems(flavour, ort)
    yield from _tensorrt_problems(versions, flavour, ort)
    for architecture in flavour.architectures:
        if architecture < cuda.oldest_architecture:
            yield f"architecture {architecture} is older than CUDA {flavour.cuda} supports"


def _torch_problems(versions: PinnedVersions, flavour: Flavour) -> Iterator[str]:
    wants = [t for t in flavour.targets if t.startswith("torch")]
    if not flavour.torch:
        if wants or flavour.lab:
            yield f"promises {(*wants, *flavour.lab)[0]} without a torch"
        return
    torch = versions.torch.get(flavour.torch)
    if torch is None:
        yield f"torch {flavour.torch!r} has no table of its own"
    elif flavour.python not in torch.pythons:
        yield f"torch {flavour.torch} was not tried with Python {flavour.python}"
    for requirement in flavour.lab:
        if not PINNED_PACKAGE.fullmatch(requirement):
            yield f"{requirement} is not pinned as name==version"


def _image_problems(flavour: Flavour) -> Iterator[str]:
    for image, kind in ((flavour.image, "runtime"), (flavour.build_image, "devel")):
        if f":{flavour.cuda}." not in image or f"-cudnn-{kind}-" not in image:
            yield f"image {image!r} is not CUDA {flavour.cuda} with cuDNN ({kind})"


def _ort_problems(flavour: Flavour, ort: Ort) -> Iterator[str]:
    # Within a major version CUDA keeps its libraries' names: a wheel runs on any later minor one.
    if _major(ort.cuda) != _major(flavour.cuda) or _numbers(ort.cuda) > _numbers(flavour.cuda):
        yield f"ort {flavour.ort} was built with CUDA {ort.cuda}, the image has {flavour.cuda}"
    if ort.cudnn != flavour.cudnn:
        yield f"ort {flavour.ort} needs cuDNN {ort.cudnn}, the image has {flavour.cudnn}"
    if flavour.python not in ort.pythons:
        yield f"ort {flavour.ort} has no wheel for Python {flavour.python}"
    for architecture in sorted(set(flavour.architectures) - set(ort.architectures)):
        yield f"ort {flavour.ort} has no kernels for architecture {architecture}"


def _tensorrt_problems(versions: PinnedVersions, flavour: Flavour, ort: Ort) -> Iterator[str]:
    wants = [t for t in flavour.targets if t in ("TensorrtExecutionProvider", "Standalone_TRT")]
    if not flavour.tensorrt:
        if wants:
            yield f"promises {wants[0]} without a tensorrt"
        return
    tensorrt = versions.tensorrt.get(flavour.tensorrt)
    if tensorrt is None:
        yield f"tensorrt {flavour.tensorrt!r} has no table of its own"
        return
    if "TensorrtExecutionProvider" in wants and _major(flavour.tensorrt) != ort.tensorrt:
        yield (
            f"ort {flavour.ort} loads libnvinfer.so.{ort.tensorrt}, TensorRT {flavour.tensorrt} "
            f"brings libnvinfer.so.{_major(flavour.tensorrt)}: no TensorrtExecutionProvider"
        )
    if not tensorrt.version.startswith(flavour.tensorrt + "."):
        yield f"tensorrt {flavour.tensorrt} is packaged as {tensorrt.version}"
    if tensorrt.cuda != flavour.cuda or not tensorrt.version.endswith(f"+cuda{tensorrt.cuda}"):
        yield f"tensorrt {tensorrt.version} is for CUDA {tensorrt.cuda}, the image has {flavour.cuda}"
    for architecture in flavour.architectures:
        if architecture < tensorrt.oldest_architecture:
            yield f"architecture {architecture} is older than TensorRT {flavour.tensorrt} supports"


def _major(version: str) -> int:
    return _numbers(version)[0]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def build_arguments(versions: PinnedVersions, name: str, branch: str = "") -> dict[str, str]:
    """The Dockerfile's arguments for a flavour; with a branch, tag or commit, ORT is built from source at it.

    Raises ValueError for an unknown flavour, or for a branch where nothing is compiled.
    """
    flavour = _named(versions, name)
    if not flavour.cuda:
        if branch:
            raise ValueError(f"flavour {name} takes ONNX Runtime from the index: leave -b out")
        return {"BASE_IMAGE": flavour.image, **_torch_arguments(versions, flavour)}
    arguments = {
        "BASE_IMAGE": flavour.image,
        "BUILD_IMAGE": flavour.build_image,
        "ORT_FROM": "source" if branch else "release",
        "LIBRARIES": "tensorrt" if flavour.tensorrt else "cuda",
    }
    if flavour.tensorrt:
        arguments["TENSORRT_VERSION"] = versions.tensorrt[flavour.tensorrt].version
        arguments["TENSORRT_MAJOR"] = str(_major(flavour.tensorrt))
    if branch:
        arguments["ORT_BRANCH"] = branch
        arguments["CUDA_ARCHITECTURES"] = ";".join(f"{a}-real" for a in flavour.architectures)
    else:
        arguments["ORT_REQUIREMENT"] = f"{versions.ort[flavour.ort].package}=={flavour.ort}"
    return arguments


def _torch_arguments(versions: PinnedVersions, flavour: Flavour) -> dict[str, str]:
    if not flavour.torch:
        return {}
    vision = versions.torch[flavour.torch].torchvision
    return {
        "TORCH_REQUIREMENTS": f"torch=={flavour.torch} torchvision=={vision}",
        "LAB_REQUIREMENTS": " ".join(flavour.lab),
    }


def flavour_on(versions: PinnedVersions, cuda: str) -> str:
    """The TensorRT flavour on a CUDA version; raises ValueError naming the versions there are."""
    there = {f.cuda: name for name, f in versions.flavours.items() if f.tensorrt}
    if cuda not in there:
        raise ValueError(f"no TensorRT flavour on CUDA {cuda!r}: choose from {', '.join(there)}")
    return there[cuda]


def _named(versions: PinnedVersions, name: str) -> Flavour:
    if name not in versions.flavours:
        raise ValueError(f"no flavour {name!r}: choose from {', '.join(versions.flavours)}")
    return versions.flavours[name]


def main(argv: list[str]) -> int:
    """Print what was asked for, a `name=value` a line; 1 when parts do not fit, 2 on a wrong request."""
    parser = argparse.ArgumentParser(prog="versions.py", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("check", help="hold every flavour's parts against each other")
    arguments = verbs.add_parser("arguments", help="a flavour's build arguments")
    arguments.add_argument("flavour")
    arguments.add_argument("--branch", default="", help="build ONNX Runtime from source at this")
    target = verbs.add_parser("target", help="the stage of the Dockerfile a flavour is")
    target.add_argument("flavour")
    on = verbs.add_parser("flavour", help="the TensorRT flavour on a CUDA version")
    on.add_argument("cuda")
    asked = parser.parse_args(argv)
    try:
        versions = load()
        lines = _answer(versions, asked)
    except ValueError as error:
        print(f"versions.py: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 1 if asked.verb == "check" and problems(versions) else 0


def _answer(versions: PinnedVersions, options: argparse.Namespace) -> tuple[str, ...]:
    match options.verb:
        case "check":
            fine = f"{len(versions.flavours)} flavours fit: {', '.join(versions.flavours)}"
            return problems(versions) or (fine,)
        case "arguments":
            built = build_arguments(versions, options.flavour, options.branch)
            return tuple(f"{name}={value}" for name, value in built.items())
        case "target":
            return (_named(versions, options.flavour).target,)
        case _:
            return (flavour_on(versions, options.cuda),)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
