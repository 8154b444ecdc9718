.PHONY: setup setup-dev lint environments test framework-environments test-frameworks native torture locks image-test clean distclean
# Not PYTHON: make would hand its own value on to perf.sh, which takes the interpreter to make .venv with from it.
PY = .venv/bin/python
SCRIPTS = perf.sh .ci/run benchmarks/gpu/*.sh benchmarks/frameworks/gpu.sh setup_models/*.sh docker/*.sh test_trt_benchmark.sh azure-pipelines/scripts/*.sh tests/web/*.sh tests/fleet/*.sh .github/workflows/*.sh .github/actions/*.sh
SCHEMA = .venv/bin/check-jsonschema --builtin-schema

setup:
	./perf.sh --setup

setup-dev:
	./perf.sh --setup=dev

lint: setup-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	.venv/bin/codespell
	.venv/bin/shellcheck --external-sources $(SCRIPTS)
	.venv/bin/hadolint docker/Dockerfile
	$(SCHEMA) vendor.azure-pipelines --data-transform azure-pipelines azure-pipelines/*.yml azure-pipelines/templates/*.yml
	$(SCHEMA) vendor.github-workflows .github/workflows/*.yml
	$(SCHEMA) vendor.github-actions action.yml
	$(SCHEMA) custom.github-workflows-require-timeout .github/workflows/*.yml
	$(SCHEMA) vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(SCHEMA) vendor.dependabot .github/dependabot.yml
	.venv/bin/zizmor --offline --quiet .github action.yml
	$(PY) docker/versions.py check

environments: setup-dev # what the tests run in, beside .venv
	tests/web/setup.sh
	tests/fleet/fetch_slurm.sh .envs/slurm
	$(PY) -m setup_models.offline
	$(PY) -m perf.cli.env build openvino nxrt rtx cuda
	$(PY) -m perf.cli.env build --file tests/environments.toml ort_before ort_gpu

test: environments # side by side, then those that nothing may run beside
	$(PY) -m pytest -q -n 2 --dist loadfile -m "not alone and not torture and not frameworks"
	$(PY) -m pytest -q -m "alone and not torture and not frameworks"

torture: environments # minutes of attacks, kills and damage; the figures at the end
	$(PY) -m pytest -q -m torture tests/torture tests/exports/test_killed_exports.py

locks: setup-dev # after a change of versions: the digests of what may be installed
	$(PY) -m venv .locks && .locks/bin/pip install -q pip-tools==7.6.2
	.locks/bin/python -m perf.wrapper.write_locks
	.locks/bin/python -m perf.wrapper.write_locks --file tests/environments.toml
	rm -r .locks

framework-environments: setup-dev # PyTorch's CPU build, OpenVINO and IREE: 1.9 GB
	$(PY) -m perf.cli.env build torch openvino_alone iree
	$(MAKE) native

test-frameworks: framework-environments # the real ones
	$(PY) -m pytest -q -n 2 --dist worksteal -m "frameworks and not alone" tests/frameworks

TORCH_PY = $(or $(TORCH_PYTHON),$(shell $(PY) -c 'from tests.frameworks.workplace import interpreter; print(interpreter("torch"))'))
native: # build/benchmark: the C++ runtime, for TorchScript too where the environment torch is built; needs CMake and g++
	cmake -S perf/native -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$$($(TORCH_PY) -c 'import torch; print(torch.utils.cmake_prefix_path)' 2>/dev/null)"
	cmake --build build

image-test: # the CPU image for real, with buildah on a debootstrap base; over 4 minutes, as root
	docker/image_test.sh

clean: # what set-up made, and what it makes again; models, results and environments built from source stay
	rm -rf .venv .venv.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@for name in $$(sed -n 's/^\[\([A-Za-z0-9_-]*\)\].*/\1/p' environments.toml tests/environments.toml); do \
	    rm -rf ".envs/$$name"; done

distclean: # all of it: models that were added and results that were measured cannot be had again
	@printf 'remove .venv, .envs, models/ and result/ with all that was added there? [y/N] '
	@read -r answer && [ "$$answer" = y ] || { echo 'nothing was removed'; exit 1; }
	rm -rf .venv .venv.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis .envs models result
