# Two commands are enough: `make demo` and `make test`. Each makes .venv first, once.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3.11

# DVC writes dvc.lock in place. One that a kill left cut is restored before a run; a whole one is copied after it.
define repro
@python -m stages.locks
@dvc repro $(1); status=$$?; python -m stages.locks; exit $$status
endef

.PHONY: audit bench bench-scale bump demo estimate lint repro repro-all stale tables test test-long test-numeric verify

demo: .venv/installed
	$(call repro,studies/demo/dvc.yaml)
	@python -m stages.show --study=demo

# The paper's experiment; `make repro-all` runs the studies as well.
repro: .venv/installed
	$(call repro)

repro-all: .venv/installed
	$(call repro,--all-pipelines)

# Every table, verdict and figure again, from the results in git; needs no data.
tables: .venv/installed
	@python -m stages.tables

# Committed results that the present params or versions would compute anew.
stale: .venv/installed
	@python -m stages.tables --stale

# Proves that code which changed gives the results it gave, NOUN=training of one noun; versions.yaml says what of.
verify: .venv/installed
	@python -m verification.verify $(NOUN)

# Raises the number of a noun whose results changed: NOUN=training.
bump: .venv/installed
	@python -m verification.verify --bump $(NOUN)

# Our paths beside the plain ways they replace, and one million windows through the stages; on an idle machine.
bench: .venv/installed
	@python -m benchmarks

bench-scale: .venv/installed
	@python -m benchmarks.run_scale

# What `make repro` would take, by a calibration of three minutes; runs nothing of it.
estimate: .venv/installed
	@python -m benchmarks.run_estimate

# Fails where a split promises no leak and has one; metrics/<data set>/audit.md says which, also then.
audit: .venv/installed
	$(call repro,--keep-going audit)

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

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -m venv .venv
	@echo "Installing pinned packages into .venv (about 6 GB, most of it torch)"
	@pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@python -m beyond_spectrograms.report.dvc_plots_page
	@touch $@
