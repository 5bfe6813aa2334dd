# The tasks of this repository. A machine needs Python 3.11+, make and git; all else is made here, in .venv.
# `make SEED=123 test` repeats a run: the same order of tests and the same hypothesis examples.

PYTHON ?= python3
WORKERS ?= 2
ifndef SEED
SEED := $(shell date +%s)
endif

# Trust what the machine trusts: a clinic's network may have a certificate authority of its own.
export UV_SYSTEM_CERTS ?= 1

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROJECTS := pyproject.toml $(sort $(wildcard plugins/*/pyproject.toml))
PLUGINS := $(patsubst %/pyproject.toml,%,$(filter plugins/%,$(PROJECTS)))
PLUGIN_TESTS := $(sort $(wildcard plugins/*/tests))

ROUNDS ?= 5

.DEFAULT_GOAL := help
.PHONY: demo test bench faults lint types wheels check mutants format constraints clean help

demo: $(READY) ## make the environment, then run a day at the till of a small clinic
	@$(BIN)/billing demo

test: $(READY) ## make the environment, then run every test, on SQLite and on PostgreSQL
	$(BIN)/pytest -n $(WORKERS) --randomly-seed=$(SEED) --hypothesis-seed=$(SEED)

bench: $(READY) ## measure, and write docs/performance.md; ONLY=payments ROUNDS=7 measures one topic for longer
	$(BIN)/python -m bench --rounds $(ROUNDS) $(if $(ONLY),--only $(ONLY))

faults: $(READY) ## every fault in its full size, an hour or so; writes its figures into docs/proof.md
	@mkdir -p build
	BILLING_FAULTS=full $(BIN)/pytest -n $(WORKERS) tests/faults --junitxml=build/faults.xml --randomly-seed=$(SEED); \
		failed=$$?; $(BIN)/python tools/proof.py build/faults.xml docs/proof.md; exit $$failed

lint: $(READY) ## ruff (rules and format) and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY) ## mypy, strict; each plugin's tests by themselves, since all of these folders are called tests
	$(BIN)/mypy
	@set -e; for tests in $(PLUGIN_TESTS); do echo "$(BIN)/mypy $$tests"; $(BIN)/mypy $$tests; done

wheels: $(READY) ## build all wheels, install them in a clean environment, take payments from there
	tools/wheels.sh $(BIN)

check: lint types wheels test ## all that CI runs

mutants: $(READY) ## change the rules and the kernel in a thousand small ways; tests must notice all but 5 % of each module (minutes)
	@$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[mutants]'
	nice -n 10 $(BIN)/mutmut run --max-children 1
	$(BIN)/mutmut results --all true | $(BIN)/python tools/mutants.py

format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: $(BIN)/uv ## pin what the pyproject files ask for; UPGRADE=--upgrade takes the newest versions
	$(BIN)/uv pip compile -q $(UPGRADE) --universal --python-version 3.11 --no-header --no-annotate \
		--all-extras --output-file constraints.txt pyproject.toml

clean: ## remove the environment and everything that tools have left
	rm -rf $(VENV) build dist mutants .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 13

# The venv's own pip brings uv, uv brings the rest. Debian without python3-venv has no ensurepip: there the system's pip does it.
$(BIN)/uv: | constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one, as in: make PYTHON=python3.12 demo")'
	@echo "Making the environment in $(VENV), once."
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv; \
	else \
		$(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -q --disable-pip-version-check -c constraints.txt uv \
		|| { echo "This Python has neither ensurepip nor pip; on Debian: apt-get install python3-venv" >&2; exit 1; }; \
	fi

$(READY): $(BIN)/uv constraints.txt $(PROJECTS)
	@$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -b constraints.txt -e '.[dev]' $(addprefix -e ,$(PLUGINS))
	@touch $@
