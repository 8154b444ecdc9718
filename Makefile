.PHONY: setup setup-dev lint test image-test bench clean
PYTHON = .venv/bin/python

setup:
	./perf.sh --setup

setup-dev:
	./perf.sh --setup=dev

lint: setup-dev
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy perf comparison setup_models docker benchmark_wrapper.py benchmark.py
	.venv/bin/lint-imports

test: setup-dev
	$(PYTHON) -m setup_models.offline
	$(PYTHON) -m perf.wrapper.environments openvino nxrt rtx
	$(PYTHON) -m perf.wrapper.environments --file tests/environments.toml ort_before
	$(PYTHON) -m pytest -q

clean:
	rm -rf .venv .venv.lock .envs models result
