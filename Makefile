# Two commands are enough: `make demo` and `make test`. Each makes .venv first, once.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3.11

.PHONY: audit bench bench-scale bump demo estimate test test-long lint repro stale verify

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

lint: .venv/installed
	@ruff check .
	@ruff format --check .
	@mypy

# Committed results that the present code or params would compute anew.
stale: .venv/installed
	@python -m beyond_spectrograms.staleness

# Proves that code which changed gives the results it gave, NOUN=training of one noun; versions.yaml says what of.
verify: .venv/installed
	@python -m stages.verify $(NOUN)

# Raises the number of a noun whose results changed: NOUN=training.
bump: .venv/installed
	@python -m stages.verify --bump $(NOUN)

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -m venv .venv
	@echo "Installing pinned packages into .venv (about 6 GB, most of it torch)"
	@pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@python -m beyond_spectrograms.plots_page
	@touch $@
