.PHONY: setup setup-dev lint test test-frameworks image-test clean
PYTHON = .venv/bin/python

setup:
	./perf.sh --setup

setup-dev:
	./perf.sh --setup=dev

lint: setup-dev
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy perf comparison setup_models docker tests benchmarks ep_perf setup.py benchmark_wrapper.py benchmark.py
	.venv/bin/lint-imports
	.venv/bin/shellcheck --external-sources perf.sh .ci/run benchmarks/gpu/run.sh setup_models/*.sh docker/*.sh azure-pipelines/scripts/*.sh tests/web/*.sh .github/workflows/*.sh
	.venv/bin/hadolint docker/Dockerfile
	.venv/bin/check-jsonschema --builtin-schema vendor.azure-pipelines --data-transform azure-pipelines azure-pipelines/*.yml azure-pipelines/templates/*.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(PYTHON) docker/versions.py check

test: setup-dev
	tests/web/setup.sh
	$(PYTHON) -m setup_models.offline
	$(PYTHON) -m perf.cli.env build openvino nxrt rtx
	$(PYTHON) -m perf.cli.env build --file tests/environments.toml ort_before ort_gpu
	$(PYTHON) -m pytest -q

test-frameworks: setup-dev # real PyTorch, OpenVINO and IREE: 1.9 GB of environments on first use
	$(PYTHON) -m perf.cli.env build torch openvino_alone iree
	$(PYTHON) -m pytest -q -m frameworks tests/frameworks

image-test: # the CPU image for real, with buildah on a debootstrap base; over 4 minutes, as root
	docker/image_test.sh

clean:
	rm -rf .venv .venv.lock .envs models result
