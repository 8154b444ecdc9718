"""What prepare and artefact launches are given to do, as JSON beside their journals."""

from collections.abc import Mapping
from dataclasses import dataclass

from perf.schema.cell import Cell, ModelFile, TestSet
from perf.schema.model_form import ModelForm


@dataclass(frozen=True)
class ProbeJob:
    """An environment to be looked into, and the plug-in that is to be registered there, if any."""

    plugin: Mapping[str, str]  # library, ep_name, registration


@dataclass(frozen=True)
class PrepareJob:
    """Test data to be made into arrays, once per model and run."""

    model: ModelFile
    input_data: str
    seed: int
    sets: int
    shapes: Mapping[str, tuple[int, ...]]
    destination: str
    half: bool = False
    given: str = ""  # the user's own data, a folder or .npz; "": the model's, or drawn at random
    batch: int = 0  # 0: as the inputs have it
    form: ModelForm | None = None  # asked what it takes where there is no ONNX file


@dataclass(frozen=True)
class StudyJob:
    """A model's reference to be run again and again, to tell how far it can be trusted.

    `cell` is the reference's; `earlier` and `flushed` are outputs of studies in other processes, the latter
    with subnormals flushed to zero, which the first session of a process decides for all.
    """

    cell: Cell
    destination: str
    arbitrate: bool = False  # the noise of fp32 too, and fp64 where it ends in `budget_s`
    budget_s: float = 10.0
    earlier: tuple[TestSet, ...] = ()
    flushed: tuple[TestSet, ...] = ()


@dataclass(frozen=True)
class ArtefactJob:
    """A model to be converted to another precision (or given shapes), once per source and options.

    `destination` is a folder; the artefact lies in it under a key of all that can change it.
    """

    model: ModelFile
    precision: str
    destination: str
    calibration: str = ""
