.DEFAULT_GOAL := help
.PHONY: help local test test-runtime on-runtime verify check chaos outage killer bench format smoke load screenshot diagram lock clean .FORCE
.DELETE_ON_ERROR:
# Packages are installed without bytecode, which takes longer than to fetch them; what is imported is compiled
# once, then, and kept.
unexport PYTHONDONTWRITEBYTECODE
PIP_INSTALL := -m pip install -q --disable-pip-version-check --no-compile

PYTHON ?= python3
# The Python that Lambda runs the functions on, where this machine has it: on PATH, or one of pyenv's.
RUNTIME := $(shell sed -n 's/^RUNTIME = "\(.*\)"/\1/p' infra/function.py)
RUNTIME_PYTHON ?= $(shell for python in $(RUNTIME) "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$(RUNTIME:python%=%).*/bin/python; \
    do "$$python" -c "import ensurepip" 2> /dev/null && echo "$$python" && break; done)
RUNTIME_ENVIRONMENT_PYTHON = $(or $(RUNTIME_PYTHON),.venv/bin/python)
URL ?= http://tasks.execute-api.localhost:4566
COUNT ?= 500
SEED ?=
CONCURRENCY ?= 20
BATCH ?= 1
LOCK_NOTE := Every package of an environment, exactly: a constraint for pip, not a list. Made with: make lock

help:  ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

local: .venv/.run .venv/.emulator  ## The whole system on this machine; prints its URL
	@.venv/bin/python -m local up $(ARGS)

test:  ## Every check, and all tests but the long ones
	@$(MAKE) --no-print-directory -j 2 .venv/.dev .venv/.emulator
	@$(MAKE) --no-print-directory check
	.venv/bin/python -m pytest -n 3 --dist loadgroup

test-runtime:  ## The functions' tests on the Python that Lambda runs them on, if this machine has it
	@$(if $(RUNTIME_PYTHON),$(MAKE) --no-print-directory on-runtime,echo "$(RUNTIME) is not here; nothing is tested on it")

on-runtime: .venv/.runtime-tests .venv/.emulator
	.venv/runtime-tests/bin/python -m pytest -n 3 --dist loadgroup tests/functions

verify: .venv/.dev .venv/.emulator .venv/.runtime  ## The long tests and proofs
	.venv/bin/python -m pytest -m long -n 2 --dist loadgroup --ignore tests/e2e/test_rights.py
	.venv/bin/python -m pytest -m long tests/e2e/test_rights.py
	EMULATOR=moto .venv/bin/python -m pytest -n 3 --dist loadgroup tests/functions
	$(MAKE) --no-print-directory chaos SEED=20261128
	$(MAKE) --no-print-directory outage

check: .venv/.dev  ## Format, lint, types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/pyright

format: .venv/.dev  ## Put the code into its standard form
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

chaos: COUNT = 2000
chaos: .venv/.dev .venv/.emulator  ## COUNT tasks (2000) under every fault at once, drawn from SEED
	@.venv/bin/python -m tests.chaos --count $(COUNT) $(if $(SEED),--seed $(SEED))

outage: .venv/.dev .venv/.emulator  ## DynamoDB down for a minute in the middle of 200 tasks, twice
	@.venv/bin/python -m tests.chaos outage --worker-timeout 120
	@.venv/bin/python -m tests.chaos outage --worker-timeout 10

bench: .venv/.dev .venv/.emulator .venv/.bench  ## Speed, cost and growth, each against a baseline
	@.venv/bin/python -m benchmarks

killer: .venv/.dev .venv/.emulator  ## One task of a hundred kills a process that it runs in, twice
	@.venv/bin/python -m tests.chaos killer --victim worker
	@.venv/bin/python -m tests.chaos killer --victim itself

smoke: .venv/.run  ## Submit a few tasks to URL and wait for them
	@.venv/bin/python -m client smoke $(URL)

screenshot: .venv/.dev  ## A picture of the page at URL, docs/page.png; submits a few tasks there (needs chromium)
	@.venv/bin/python -m tests.e2e.page.screenshot $(URL) docs/page.png

diagram: .venv/.dev  ## docs/architecture.md, drawn from the program
	@.venv/bin/python -m tests.docs.architecture

load: .venv/.run  ## Submit COUNT tasks to URL, BATCH in a request, CONCURRENCY requests at a time
	@.venv/bin/python -m client load $(URL) --count $(COUNT) --concurrency $(CONCURRENCY) --batch $(BATCH)

# One environment for the program and its tools, one inside it for the emulator (requirements-local.txt
# says why). A marker file per set of packages: what is installed already costs nothing.
.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.13 ...")'
	$(PYTHON) -m venv .venv

.venv/.run: requirements.txt requirements-client.txt requirements-lock.txt | .venv/bin/python
	.venv/bin/python $(PIP_INSTALL) -r requirements.txt -r requirements-client.txt
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.run
	.venv/bin/python $(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

.venv/.emulator: requirements-local.txt requirements-local-lock.txt | .venv/bin/python
	.venv/bin/python -m venv .venv/emulator
	.venv/emulator/bin/python $(PIP_INSTALL) -r requirements-local.txt
	@touch $@

# Which interpreter the next two are made with: another one makes them again.
.venv/.runtime-python: .FORCE | .venv/bin/python
	@used="$(RUNTIME_ENVIRONMENT_PYTHON) $$("$(RUNTIME_ENVIRONMENT_PYTHON)" --version)"; \
	    [ "$$used" = "$$(cat $@ 2> /dev/null)" ] || echo "$$used" > $@
.FORCE:

.venv/.runtime: requirements-runtime.txt requirements-runtime-lock.txt .venv/.runtime-python
	@$(if $(RUNTIME_PYTHON),,echo "$(RUNTIME) is not here; AWS's runtime client is tested on another Python")
	"$(RUNTIME_ENVIRONMENT_PYTHON)" -m venv --clear .venv/runtime
	.venv/runtime/bin/python $(PIP_INSTALL) -r requirements-runtime.txt
	@touch $@

.venv/.runtime-tests: requirements-runtime-tests.txt requirements-runtime-lock.txt .venv/.runtime-python
	"$(RUNTIME_ENVIRONMENT_PYTHON)" -m venv --clear .venv/runtime-tests
	.venv/runtime-tests/bin/python $(PIP_INSTALL) -r requirements-runtime-tests.txt
	ln -sfn ../emulator .venv/runtime-tests/emulator
	@touch $@

.venv/.bench: requirements-bench.txt requirements-bench-lock.txt | .venv/bin/python
	.venv/bin/python -m venv .venv/bench
	.venv/bench/bin/python $(PIP_INSTALL) -r requirements-bench.txt
	@touch $@

lock: .venv/bin/python  ## Look up what each direct pin brings along, and pin that too
	truncate -s 0 requirements-lock.txt requirements-local-lock.txt requirements-bench-lock.txt requirements-runtime-lock.txt
	rm -rf build/lock build/lock-local build/lock-bench build/lock-runtime
	$(PYTHON) -m venv build/lock && build/lock/bin/python $(PIP_INSTALL) -r requirements-dev.txt
	$(PYTHON) -m venv build/lock-local && build/lock-local/bin/python $(PIP_INSTALL) -r requirements-local.txt
	$(PYTHON) -m venv build/lock-bench && build/lock-bench/bin/python $(PIP_INSTALL) -r requirements-bench.txt
	$(PYTHON) -m venv build/lock-runtime && build/lock-runtime/bin/python $(PIP_INSTALL) -r requirements-runtime-tests.txt
	{ echo '# $(LOCK_NOTE)'; build/lock/bin/python -m pip freeze; } > requirements-lock.txt
	{ echo '# $(LOCK_NOTE)'; build/lock-local/bin/python -m pip freeze; } > requirements-local-lock.txt
	{ echo '# $(LOCK_NOTE)'; build/lock-bench/bin/python -m pip freeze; } > requirements-bench-lock.txt
	{ echo '# $(LOCK_NOTE)'; build/lock-runtime/bin/python -m pip freeze; } > requirements-runtime-lock.txt
	rm -rf build/lock build/lock-local build/lock-bench build/lock-runtime

clean:  ## Remove what was installed and built
	rm -rf .venv build
