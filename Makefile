# Two commands are enough: `make demo` and `make test`. Each makes .venv first, once.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3.11

.PHONY: audit bench bench-scale demo estimate test test-long test-numeric lint repro stale

demo: .venv/installed
	@dvc repro page_demo
	@python -m stages.demo --show

repro: .venv/installed
	@dvc repro

# Our paths beside the plain ways they replace, and one million windows through the stages; on an idle machine.
bench: .venv/installed
	@python -m stages.bench

bench-scale: .venv/installed
	@python -m stages.scale

# What `make repro` would take, by a calibration of three minutes; runs nothing of it.
estimate: .venv/installed
	@python -m stages.estimate

# Fails where a split promises no leak and has one; metrics/audit/ says which, also then.
audit: .venv/installed
	@dvc repro --keep-going audit

test: .venv/installed
	@pytest -m "not long"

test-long: .venv/installed
	@pytest -m long

# The tests that compare computed numbers, with the kernels of processors without AVX-512 (oneDNN's, torch's own, MKL's
# and OpenBLAS's) and without AMX; `make test` runs them with those of the processor at hand. Two minutes each.
test-numeric: .venv/installed
	@echo "The kernels of AVX2"
	@ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=Haswell \
		pytest -m "numeric and not long"
	@echo "The kernels of AVX-512, without AMX"
	@ONEDNN_MAX_CPU_ISA=AVX512_CORE pytest -m "numeric and not long"

lint: .venv/installed
	@ruff check .
	@ruff format --check .
	@mypy

# Committed results that the present code or params would compute anew.
stale: .venv/installed
	@python -m beyond_spectrograms.staleness

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -m venv .venv
	@echo "Installing pinned packages into .venv (about 6 GB, most of it torch)"
	@pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@python -m beyond_spectrograms.plots_page
	@touch $@
