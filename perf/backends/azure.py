"""The Azure execution provider, which runs no node on this machine: the known case of a fallback."""

from perf.backends._ort.provider import provider_backend

BACKEND = provider_backend(
    "AzureExecutionProvider",
    ("azure",),
    "an environment with onnxruntime",
    default=False,
    option_names=frozenset(),
)
