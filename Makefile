# Needs Python 3.11 or newer, with its venv module, and make. Everything else goes into .venv.
PYTHON ?= python3

# torch is installed first and by version: left to the resolver, a newer torch may come instead, and on
# Linux with several GB of GPU libraries. To choose another build:  make demo TORCH='torch==2.13.0+cpu'
TORCH ?= torch==2.13.0

SHELL = /bin/sh
BIN = .venv/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check -qq
RUNTIME = .venv/.installed-runtime
DEV = .venv/.installed-dev
PEERS = .venv-peers/.installed
TOOLS = .venv-tools/.installed

.PHONY: help demo test test-matrix soak fuzz check bench dist sbom audit clean

help:
	@echo 'make demo    train an RBM on the bundled digits, report in runs/digits/report.html'
	@echo 'make test    run every test'
	@echo 'make test-matrix   every test under each Python from 3.11 to 3.14 that is here, and with the oldest libraries'
	@echo 'make soak    kill a run forty times (KILLS), at moments of SEED, and make a million updates (UPDATES)'
	@echo 'make fuzz    damage files of every format for ten minutes (FUZZ seconds), by SEED, and read them'
	@echo 'make check   format, lint, types, import contract'
	@echo 'make bench   measure speed and growth against other libraries (a quarter of an hour)'
	@echo 'make dist    build the wheel and the source archive into dist/, twice, which must give the same bytes'
	@echo 'make sbom    list what is installed into dist/sbom.json (CycloneDX)'
	@echo 'make audit   look for broken requirements, and for known vulnerabilities of what is installed (asks pypi.org)'
	@echo 'make clean   remove .venv, .venv-peers, .venv-tools, .venv-matrix and what the tools left behind (runs/ stays)'

demo: $(RUNTIME)
	$(BIN)/harmonium fit digits --out runs/digits --force

# With byte code even where the environment says otherwise: tests start many processes.
test: $(DEV)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n 2

soak: $(DEV)
	HARMONIUM_KILLS=$${KILLS:-40} HARMONIUM_SEED=$${SEED:-1} $(BIN)/python -m pytest -q tests/test_crashes.py
	$(BIN)/python -m benchmarks.soak --updates $${UPDATES:-1000000}

fuzz: $(DEV)
	HARMONIUM_FUZZ_SECONDS=$${FUZZ:-600} HARMONIUM_SEED=$${SEED:-1} $(BIN)/python -m pytest -q tests/test_fuzz.py

test-matrix:
	TORCH='$(TORCH)' $(PYTHON) tests/matrix.py

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# make bench QUICK=--quick takes two minutes and saves nothing
bench: $(RUNTIME) $(PEERS)
	HARMONIUM_PEERS=.venv-peers/bin/python $(BIN)/python -m benchmarks speed growth $(QUICK)

dist: $(DEV)
	$(BIN)/python tests/distributions.py dist

sbom: $(RUNTIME) $(TOOLS)
	@mkdir -p dist
	.venv-tools/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
	    --output-file dist/sbom.json $(BIN)/python

audit: $(RUNTIME) $(TOOLS)
	$(BIN)/python -m pip check
	.venv-tools/bin/pip-audit --skip-editable \
	    --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

clean:
	rm -rf .venv .venv-peers .venv-tools .venv-matrix dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache src/*.egg-info
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# pip would compile every file of every library, most of which are never imported: 92 s of processor time in all,
# against 60 s this way. Those that are needed are compiled by importing them once, also where
# PYTHONDONTWRITEBYTECODE would have each later run compile them again.
IMPORTED = torch, torch._dynamo, numba, scipy.stats, pandas, sklearn.datasets, h5py, matplotlib.pyplot, \
    safetensors.torch, rich.progress, typer

# The stamps make a second run instant; a change of pyproject.toml installs anew.
$(RUNTIME): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'harmonium needs Python 3.11 or newer; name one with  make PYTHON=python3.12' >&2; exit 1; }
	@echo 'Installing into .venv (a minute or two, once) ...'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --no-compile '$(TORCH)'
	$(PIP) install --no-compile -e .
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -c 'import $(IMPORTED)'
	@touch $@

$(DEV): $(RUNTIME)
	$(PIP) install --no-compile -e '.[dev]'
	@touch $@

$(TOOLS):
	@test -x .venv-tools/bin/python || $(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip --disable-pip-version-check -qq install --no-compile 'cyclonedx-bom>=7' 'pip-audit>=2.10'
	@touch $@

# Other libraries, in an environment of their own: what they need must not decide what harmonium runs on.
$(PEERS): pyproject.toml
	@echo 'Installing the peers into .venv-peers (a few minutes, once) ...'
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip --disable-pip-version-check -qq install --no-compile '$(TORCH)'
	.venv-peers/bin/python -m pip --disable-pip-version-check -qq install --no-compile '.[bench]'
	@touch $@
