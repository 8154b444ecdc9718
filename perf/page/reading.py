"""How the figures of a model are read: what is common to all of a kind, told once."""

from perf.page.markup import Html, tag

KINDS = (
    (
        "Distribution of times",
        "All runs as a histogram; below it a lane per launch: its range as a thin line, its middle half as "
        "a thick one, its median as a tick. All targets share one logarithmic axis.",
    ),
    (
        "Runs in order",
        "Launches from left to right, each with its median; the scale is each target's own. Where runs are "
        "more than can be drawn, the band between the slowest and the fastest neighbours is, so no extreme "
        "is lost. Drift is the last quarter of a launch against its first, the median over launches.",
    ),
    (
        "Where the time goes",
        "Kernels of one profiled run of the check launch in the order they ran, as long as the host was in "
        "them (for an asynchronous device: launching them), coloured by provider. Grey bands link the "
        "slowest nodes of one target to those of the same name in the next.",
    ),
    (
        "First and second session",
        "Hollow: creation with no engine cached, alone on the machine. Full: creation again, the median of "
        "the measure launches.",
    ),
    (
        "GPU memory over the stages",
        "The peak above the baseline in each stage of the largest launch.",
    ),
    (
        "Error against latency",
        "Distance from the reference over p50; the shape of a mark is its precision.",
    ),
)


def reading() -> Html:
    """The list, folded away."""
    items = (tag("div", tag("dt", name), tag("dd", text)) for name, text in KINDS)
    return tag(
        "details", tag("summary", "How to read the figures"), tag("dl", *items), class_="reading"
    )
