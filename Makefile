# Two commands are enough: `make demo` and `make test`. Each makes .venv first, once.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3.11

# DVC writes dvc.lock in place: a kill at that moment leaves it cut. It is restored before, and a copy is kept after.
define with_locks
@python -m stages.locks
@$(1); status=$$?; python -m stages.locks; exit $$status
endef

.PHONY: audit bench bench-scale demo estimate test test-long lint repro stale

demo: .venv/installed
	$(call with_locks,dvc repro page_demo)
	@python -m stages.demo --show

repro: .venv/installed
	$(call with_locks,dvc repro)

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
	$(call with_locks,dvc repro --keep-going audit)

test: .venv/installed
	@pytest -m "not long"

test-long: .venv/installed
	@pytest -m long

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
