# Two commands are enough: `make demo` and `make test`. Each makes .venv first, once.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Any of 3.11, 3.12 and 3.13, the first that runs; or `make demo PYTHON=python3.13`.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do $$name -c '' 2> /dev/null && echo $$name && break; done)
# An index with a smaller torch 2.11.0 and torchaudio 2.11.0, as PyTorch's own for processors alone:
# `make demo TORCH_INDEX=https://...`. The lock knows none of its hashes, so these two are then checked by version alone.
TORCH_INDEX ?=

# DVC writes dvc.lock in place. One that a kill left cut is restored before a run; a whole one is copied after it.
# Without git's folder, as in a ZIP from the web, DVC is told to do without.
define repro
@test -e .git || dvc config --local core.no_scm true
@python -m stages.locks
@dvc repro $(1); status=$$?; python -m stages.locks; exit $$status
endef

.PHONY: audit bench bench-scale bump check demo estimate fuzz fuzz-guided kills licences lint lock repro repro-all sbom stale tables test test-long \
	test-lowest test-newest test-numeric verify

demo: .venv/installed
	$(call repro,studies/demo/dvc.yaml)
	@python -m stages.show --study=demo

# The paper's experiment; `make repro-all` runs the studies as well.
repro: .venv/installed
	$(call repro)

repro-all: .venv/installed
	$(call repro,--all-pipelines)

# Every table, verdict and figure again, those of README and docs too, from the results in git; needs no data.
tables: .venv/installed
	@python -m stages.tables
	@python -m stages.docs

# Committed results that the present params or versions would compute anew.
stale: .venv/installed
	@python -m stages.tables --stale

# Holds all that is stored against its digests: what is damaged, and which stage makes it anew.
check: .venv/installed
	@python -m stages.check

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
	@python -m benchmarks.scale

# What `make repro` would take, by the rates of earlier runs; runs nothing of it.
estimate: .venv/installed
	@python -m benchmarks.estimate

# Fails where a split promises no leak and has one; metrics/<data set>/audit.md says which, also then.
audit: .venv/installed
	$(call repro,--keep-going audit)

# A process a core with a thread each; one that has no tests left takes over some of the other's. Bytecode is kept:
# without it each process that a test starts would compile all modules anew.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 pytest --numprocesses=auto --dist=worksteal

test: .venv/installed
	@$(PYTEST) -m "not long"

test-long: .venv/installed
	@$(PYTEST) -m long --durations=25

# The tests that compare computed numbers, with the kernels of processors without AVX-512 (oneDNN's, torch's own, MKL's
# and OpenBLAS's) and without AMX; `make test` runs them with those of the processor at hand. Two minutes each.
test-numeric: .venv/installed
	@echo "The kernels of AVX2"
	@ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=Haswell \
		$(PYTEST) -m "numeric and not long"
	@echo "The kernels of AVX-512, without AMX"
	@ONEDNN_MAX_CPU_ISA=AVX512_CORE $(PYTEST) -m "numeric and not long"

# The fast tests with the lowest or the newest packages that pyproject.toml admits, in build/ with a lock, versions.yaml and
# .venv of their own, of PYTHON.
test-lowest: RESOLUTION := lowest-direct
test-newest: RESOLUTION := highest
test-lowest test-newest: .venv/installed
	@rm -rf build/$@ && git clone --quiet . build/$@
	@uv pip compile --quiet --upgrade --python $(PYTHON) --resolution $(RESOLUTION) --extra dev --generate-hashes --no-annotate \
		--output-file build/$@/requirements.lock pyproject.toml
	@cd build/$@ && sed -nE 's/^([a-z0-9-]+)==([^ ]+).*/s|^\1: [0-9.]+|\1: "\2"|/p' requirements.lock | sed -E -i -f - versions.yaml
	@$(MAKE) -C build/$@ test

# Mutants of every kind of file that is read, FUZZ of each from number FUZZ_FROM on; `make test-long` tries the first few.
FUZZ := 5000
FUZZ_FROM := 0
fuzz: .venv/installed
	@PYTHONPATH=tests python -m support.fuzzing all $(FUZZ) $(FUZZ_FROM)

# The same readers, with mutants that atheris guides to branches not reached before, for so many seconds each.
SECONDS_EACH := 60
fuzz-guided: build/fuzz/installed
	@PYTHONPATH=tests:build/fuzz python -m support.guided all $(SECONDS_EACH)

build/fuzz/installed: tools.lock .venv/installed
	@mkdir -p build/fuzz && $(call entries,atheris==,,tools.lock) > build/fuzz/atheris.txt
	@$(INSTALL) --require-hashes --no-deps --only-binary :all: --upgrade --target build/fuzz --requirement build/fuzz/atheris.txt
	@touch $@

# Every stage, the commands that write, serve and `dvc repro`, killed KILLS times in all at points drawn by SEED, and then
# done whole: the same bytes; `make test-long` tries a few of each. WORKS="split,dvc repro" alone.
WORKS := all
KILLS := 300
SEED := 0
kills: .venv/installed
	@PYTHONPATH=tests python -m support.killed_works "$(WORKS)" $(KILLS) $(SEED)

lint: .venv/installed
	@ruff check .
	@ruff format --check .
	@mypy

# The exact versions of all packages, and the hashes of their files, for every Python that pyproject.toml admits. Keeps what
# the locks have where pyproject.toml still allows it; `make lock UPGRADE="--upgrade-package pandas"` takes a newer one.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate $(UPGRADE) \
	--custom-compile-command "make lock"
lock: .venv/installed
	@$(COMPILE) --extra dev --output-file requirements.lock pyproject.toml
	@$(COMPILE) --group tools --output-file tools.lock

# The licence of every installed package.
licences: build/tools/installed
	@build/tools/bin/pip-licenses --python .venv/bin/python --order license

# A bill of materials of what is installed, as CycloneDX has it: build/sbom.json.
sbom: build/tools/installed
	@build/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.json \
		.venv/bin/python
	@echo "build/sbom.json"

build/tools/installed: tools.lock .venv/installed
	@$(PYTHON) -m venv --clear build/tools
	@build/tools/bin/$(INSTALL) --require-hashes --no-deps --only-binary :all: --requirement tools.lock
	@touch $@

# Entries of a lock, a package and its hashes each, by the beginning of their names.
entries = awk '/^[a-z]/ {found = /^($(1))/} /^ *\#/ {next} $(2)found' $(or $(3),requirements.lock)
TORCH := torch|triton|nvidia-|cuda-
INSTALL := pip install --quiet --disable-pip-version-check
# All others come as wheels, which run no code of theirs while they are installed. These two are published as source alone:
# encodec by the authors of EnCodec, antlr4 in the one version that omegaconf, which DVC needs, takes.
SOURCES := --only-binary :all: --no-binary encodec,antlr4-python3-runtime

# setuptools first: what comes as source is built by the one of the lock.
.venv/installed: pyproject.toml requirements.lock
	@$(PYTHON) -m venv .venv
	@echo "Installing the $$(grep -c '^[a-z].*==' requirements.lock) packages of requirements.lock into .venv: \
	$(if $(TORCH_INDEX),2 GB and torch from $(TORCH_INDEX),6.3 GB of which 4.7 are torch and its CUDA)"
	@$(call entries,setuptools==) > .venv/first.txt
	@$(call entries,$(TORCH),!) > .venv/most.txt
	@$(call entries,$(TORCH)) > .venv/torch.txt
	@$(INSTALL) --require-hashes --no-deps --only-binary :all: --requirement .venv/first.txt
	@$(INSTALL) --require-hashes --no-deps --no-build-isolation $(SOURCES) --requirement .venv/most.txt
ifeq ($(TORCH_INDEX),)
	@$(INSTALL) --require-hashes --no-deps --only-binary :all: --requirement .venv/torch.txt
else
	@$(INSTALL) --index-url $(TORCH_INDEX) $$(grep -oE '^torch(audio)?==[0-9.]+' .venv/torch.txt)
endif
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@pip check
	@python -m beyond_spectrograms.report.dvc_plots_page
	@touch $@
