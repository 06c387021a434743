# Needs only Python (3.10 or newer) and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-oldest test-docs parity lint docs paper-small clean

demo: $(VENV)/.installed  ## train, measure and report on images that ship with scikit-learn
	$(BIN)/sdd-eval quickstart

test: $(VENV)/.installed-test  ## the test suite
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-oldest: $(VENV)/.installed-test  ## the suite on the oldest and newest supported versions
	$(BIN)/python tests/supported_versions.py

test-docs: $(VENV)/.installed-test  ## execute the tutorial and the long guides
	$(BIN)/pytest -m docs -n 2 --dist loadfile --no-loadscope-reorder tests/docs

parity: $(VENV)/.installed-parity  ## compare numbers with other libraries
	$(BIN)/pytest tests/parity -m "not slow"

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed $(VENV)-docs/.installed  ## build the documentation site into build/docs
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict --quiet

paper-small: $(VENV)/.installed  ## run every study of the paper at a small size; an empty cell fails
	$(BIN)/python tests/paper_small.py

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(VENV)-docs/.installed: docs/requirements.txt
	test -x $(VENV)-docs/bin/pip || $(PYTHON) -m venv --clear $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet --requirement docs/requirements.txt
	touch $@

$(VENV)/.installed-parity: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[parity]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-docs build dist
