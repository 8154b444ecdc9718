"""Whose fault a mismatch is, in one sentence from what was found and what was not looked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from perf.schema.journal import Compared

STORED_DATA = "stored data"
PAIRING = "pairing"
CHANCE = "chance"
ILL_CONDITIONED = "ill-conditioned"
OPTIMISER = "optimiser"
SUBNORMALS = "subnormals"
OVERFLOW = "overflow in half precision"
EP = "the EP"
LATER = "later runs"
UNKNOWN = "not diagnosed"
NEAR = 0.1  # of the other side's distance from fp64: the outlier is the other one


@dataclass(frozen=True)
class Findings:
    """What is known of one cell's wrong output; None and left out: it was not looked for."""

    compared: Compared
    reference_disagrees: bool | None = None  # the unoptimised CPU EP is wrong by it too
    swapped_with: str = ""  # the output whose reference it fits
    by_position: bool = (
        False  # stored outputs were taken by position: their names are not the model's
    )
    reproducible: bool | None = None
    levels: Mapping[str, bool] = field(default_factory=dict)  # optimisation level -> passes there
    optimiser: float | None = None  # by how much the CPU EP's output changes when it is optimised
    flushed: float | None = None  # what flushing subnormals to zero changes on the CPU EP
    flush_breaks: bool = False  # it makes there what is not finite
    reduced: str = ""  # fp16, bf16: the precision where it is less than fp32
    overflows: str | None = (
        None  # where the half-precision model overflows; "" where it was looked for
    )
    fp64: str = ""  # what computed it, or why nothing did
    not_tried: Sequence[str] = ()


def find_cause(f: Findings) -> str:
    """The sentence: the first cause that the facts show, which side is the outlier, what was not tried."""
    parts = [_name_cause(f), _name_outlier(f)]
    if f.not_tried:
        parts.append(f"not tried: {', '.join(f.not_tried)}")
    if f.optimiser and f.compared.max_abs and f.optimiser >= f.compared.max_abs / 2:
        parts.append(f"optimising moves the CPU EP's output by {f.optimiser:.2g} too")
    return "; ".join(p for p in parts if p)


def name_late_cause(*, right_at_first: bool, command: str) -> str:
    """The sentence for outputs that no probe looked at: those of a timed run, or where none could be made."""
    if right_at_first:
        return f"{LATER}: the check's run was right, so it is state, or a buffer used again"
    return f"{UNKNOWN}: `{command}` tries what can tell"


def cause_of(sentence: str) -> str:
    """The cause that a sentence begins with; "" where there is none."""
    return sentence.partition(":")[0]


def _name_cause(f: Findings) -> str:
    return (
        _blame_data(f)
        or _blame_reference(f)
        or _blame_optimiser(f)
        or _blame_numbers(f)
        or _blame_ep(f)
    )


def _blame_data(f: Findings) -> str:
    disagrees = "the unoptimised CPU EP disagrees with it too"
    names = "stored outputs carry names that the model does not have"
    if f.reference_disagrees and f.by_position:
        return f"{PAIRING}: it was taken by position, as {names}, and {disagrees}"
    if f.reference_disagrees:
        return f"{STORED_DATA}: {disagrees}"
    if f.swapped_with:
        position = f", and was taken by position, as {names}" if f.by_position else ""
        return f"{PAIRING}: it equals the reference of {f.swapped_with!r}{position}"
    return ""


def _blame_reference(f: Findings) -> str:
    c = f.compared
    if f.reproducible is False:
        return f"{CHANCE}: the CPU EP gives other values on equal inputs, and these are none such"
    if not c.problem and c.beyond_noise == 0 and c.mismatched and c.reference_noise:
        return (
            f"{ILL_CONDITIONED}: rounding moves the reference itself by {_percent(c.reference_noise)} of "
            "the output's scale, and no tolerance is raised above 1 %"
        )
    return ""


def _blame_optimiser(f: Findings) -> str:
    level = next((level for level, passes in f.levels.items() if passes), "")
    return f"{OPTIMISER}: it passes at -g {level}" if level else ""


def _blame_numbers(f: Findings) -> str:
    c = f.compared
    if c.subnormal and c.subnormal == c.mismatched:
        return f"{SUBNORMALS}: every wrong element is too small for a normal number"
    if f.flush_breaks and c.problem:
        return f"{SUBNORMALS}: flushing them to zero makes the CPU EP's output not finite, too"
    if f.flushed and c.max_abs and not c.problem and f.flushed >= c.max_abs / 2:
        return f"{SUBNORMALS}: flushing them to zero changes the CPU EP's output by {f.flushed:.2g} too"
    if f.overflows:
        return f"{OVERFLOW}: {f.overflows}"
    if f.reduced and ("infinite" in c.problem or "NaN" in c.problem):
        return f"{OVERFLOW}: {f.reduced} gives what is not finite where fp32 is"
    return ""


def _blame_ep(f: Findings) -> str:
    ruled_out = ", ".join(_ruled_out(f))
    return f"{EP}: {ruled_out}" if ruled_out else f"{UNKNOWN}: nothing could be tried"


def _ruled_out(f: Findings) -> list[str]:
    """What was looked for in vain, as facts."""
    out = []
    if f.reference_disagrees is False:
        out.append("the unoptimised CPU EP agrees with the reference")
    if f.reproducible:
        out.append("it repeats its outputs")
    if f.levels:
        out.append(f"it fails at -g {' and '.join(f.levels)} too")
    if f.overflows == "":
        out.append(f"{f.reduced} does not overflow")
    return out


def _percent(share: float) -> str:
    """Of a scale, two digits where it is small: 9e-06 %, 0.5 %, 200 %."""
    return f"{100 * share:.2g} %" if abs(share) < 0.1 else f"{100 * share:.0f} %"


def _name_outlier(f: Findings) -> str:
    """Which of target and reference stands apart from fp64."""
    mine, theirs = f.compared.from_fp64, f.compared.reference_from_fp64
    if theirs is None:
        return f"no fp64 result ({f.fp64})" if f.fp64.startswith(("none", "not tried")) else ""
    if mine is None:
        return (
            f"fp64 makes the target the outlier (not finite, reference off by {_percent(theirs)})"
        )
    off = f"target off by {_percent(mine)} of the scale, reference by {_percent(theirs)}"
    if theirs <= NEAR * mine:
        return f"fp64 makes the target the outlier ({off})"
    if mine <= NEAR * theirs:
        return f"fp64 makes the reference the outlier ({off})"
    return f"fp64 makes neither the outlier ({off})"
