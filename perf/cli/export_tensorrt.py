"""scripts.export_tensorrt: a detection model written to a folder that the precision benchmarks read."""

from collections.abc import Sequence
from pathlib import Path

from perf.cli import exported_run, framework_exports
from perf.cli.exit_codes import run_and_report
from perf.cli.exported_run import MODEL, ExportedRun
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.programs import command_of

KEYS = {
    "out": "", "model": "vitdet", "weights": "", "image.height": "256", "image.width": "256",
    "amp_dtype": "fp32", "trt.enabled_precisions": "[fp32]", "env": "",
}  # fmt: skip


def make_parser() -> CommandParser:
    """Words such as image.height=256."""
    return exported_run.make_parser(
        command_of("perf.cli.export_tensorrt"), "Export the detection model to a folder.", KEYS
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Write a folder, and print its path."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    given = exported_run.read_words(make_parser().parse_args(argv).words, KEYS)
    if given["model"] != "vitdet":
        raise BadRequestError(f"model={given['model']}: use vitdet")
    sides = [
        exported_run.read_number(given, k) // 16 * 16 for k in ("image.height", "image.width")
    ]
    python = framework_exports.find_interpreter([given["env"]] if given["env"] else ())
    folder = (Path(given["out"]) if given["out"] else exported_run.new_folder()).absolute()
    weights = Path(given["weights"]).absolute() if given["weights"] else folder / "weights.pt"
    run = ExportedRun(
        model="vitdet",
        height=sides[0],
        width=sides[1],
        amp_dtype=exported_run.read_precision(given["amp_dtype"], "amp_dtype"),
        enabled_precisions=exported_run.read_precision(
            given["trt.enabled_precisions"], "trt.enabled_precisions"
        ),
        optimiser="torchscript",  # without Torch-TensorRT: traced, and frozen when it is loaded
        weights=str(weights),
    )
    if not weights.is_file():
        if given["weights"]:
            raise BadRequestError(
                f"no file {weights}; python -m scripts.download_model path={weights} makes one"
            )
        framework_exports.write_weights(python, weights, *sides)
    entry = exported_run.write_folder(folder, run)
    framework_exports.write_torchscript(python, f"{entry}:model", folder / MODEL)
    print(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
