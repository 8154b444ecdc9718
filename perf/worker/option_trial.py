"""Whether an EP takes a user's provider options, found by a session on a model of one node.

A process of its own in the target's environment; what it prints is the engine's refusal as a JSON string, ""
where it opened the session.
"""

import json
import sys
from contextlib import suppress

# y = Identity(x), one float; IR 8, opset 13
MODEL = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08'
    b"\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
LONGEST = 4000  # characters of a refusal


def try_options(provider: str, options: dict[str, str]) -> str:
    """What the engine says against them; "" for nothing."""
    import onnxruntime as ort

    with suppress(AttributeError):  # loads CUDA and cuDNN from pip packages; older ones lack it
        ort.preload_dlls()
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    try:
        ort.InferenceSession(MODEL, settings, providers=[(provider, options)], enable_fallback=0)
    except Exception as e:  # ORT's exceptions have no common base but this one
        return str(e)[:LONGEST]
    return ""


def main(argv: list[str]) -> int:
    """A provider and its options as JSON; prints why they are refused as JSON."""
    if argv[:1] in (["-h"], ["--help"]):
        print(main.__doc__)
        return 0
    job = json.loads(argv[0])
    print(json.dumps(try_options(job["provider"], job["options"])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
