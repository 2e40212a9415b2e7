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

# The tests that compare computed numbers, as processors without AMX and without AVX-512 compute them; `make test` runs
# them as this one does. Each setting is heeded by the libraries only as far as the processor goes.
test-numeric: .venv/installed
	@for isa in AVX2 AVX512_CORE; do \
		echo "ONEDNN_MAX_CPU_ISA=$$isa"; \
		ONEDNN_MAX_CPU_ISA=$$isa pytest -m "numeric and not long" || exit 1; \
	done
	@echo "ATEN_CPU_CAPABILITY=avx2"
	@ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 pytest -m "numeric and not long"

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
