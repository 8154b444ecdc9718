"""Make a model's weights."""

from perf.cli.export_tensorrt import download_model

if __name__ == "__main__":
    raise SystemExit(download_model())
