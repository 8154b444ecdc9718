"""Which form of a model a target loads, why it can load none, and who says what a form's inputs are."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from perf.backends import Backend
from perf.planning.targets import Offer
from perf.request.options import BadRequestError
from perf.schema.cell import Environment, ModelFile
from perf.schema.model_form import DESCRIPTIONS, EAGER, Format, ModelForm, first_of

Readers: TypeAlias = Mapping[Format, tuple[Backend, Environment]]


def choose_form(model: ModelFile, backend: Backend) -> ModelForm | None:
    """The form of a model that a backend likes best; None for its ONNX file, or where it has none of them."""
    formats = backend.formats
    if model.format is Format.ONNX and formats[0] is Format.ONNX:
        return None
    return first_of(model.forms, formats)


def reason(model: ModelFile, backend: Backend) -> str:
    """Why a backend cannot load any form of a model, and what would help; "" where it can."""
    has = {form.format for form in model.forms} | {model.format}
    if has & set(backend.formats):
        return ""
    given = " and ".join(DESCRIPTIONS[f] for f in sorted(has))
    wanted = " or ".join(DESCRIPTIONS[f] for f in backend.formats if f is not Format.PICKLE)
    keys = {
        "torch" if f in EAGER else "engine" if f is Format.ENGINE else "model_path"
        for f in backend.formats
    }
    key = min(keys)
    return (
        f"{model.name} is {given}, and this target loads {wanted}: name one as {key!r} in its row of a "
        "model list"
    )


def for_model(model: ModelFile, offers: Sequence[Offer], *, named: bool) -> Sequence[Offer]:
    """The targets that a model is planned on: those named; by default those that can load it, if any."""
    able = [offer for offer in offers if not reason(model, offer.backend)]
    return offers if named else able or offers


def refuse_pickles(models: Sequence[ModelFile], *, allowed: bool) -> None:
    """Raise BadRequestError for a model whose loading would run what a pickle holds, unless allowed."""
    for model in models if not allowed else ():
        for form in model.forms:
            if form.format is Format.PICKLE:
                raise BadRequestError(
                    f"{form.path} is a pickle, and loading it would run whatever code it holds: save it with "
                    "torch.jit.save or torch.export.save, or give --allow_pickle if you trust it"
                )


def formats_of(models: Sequence[ModelFile]) -> frozenset[Format]:
    """Every format that some model comes in."""
    return frozenset(f for m in models for f in (m.format, *(form.format for form in m.forms)))


def eager_readers(offers: Sequence[Offer]) -> Readers:
    """By format: who runs it eagerly, and so tells its inputs and makes its references."""
    found: dict[Format, tuple[Backend, Environment]] = {}
    for offer in offers:
        backend = offer.backend
        if backend.describe is not None and not offer.missing:
            for format_ in backend.formats:
                found.setdefault(format_, (backend, offer.probed.environment))
    return found
