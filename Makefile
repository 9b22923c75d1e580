# make demo    set up .venv, measure the suite quick on the CPU within five minutes, write its report
# make claims  measure the suite claims-quick within ten minutes, and judge the paper's claims by it
# make docs    build the documentation's site into site/, to be opened at site/index.html
# make test    set up .venv, run the tests through tox; make test-all runs the slow ones, too
#
# PyTorch for Linux comes with several GB of CUDA libraries by default. On a machine without a GPU:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
CONSTRAINED := --constraint constraints.txt

.PHONY: demo claims test test-all lint types docs clean

demo: $(VENV)/.gr-bench
	@$(VENV)/bin/gr-bench run quick --out runs/quick --budget 210s --report

claims: $(VENV)/.gr-bench
	$(VENV)/bin/gr-bench run claims-quick --out runs/claims-quick --report
	@$(VENV)/bin/gr-bench claims runs/claims-quick

test: $(VENV)/.tox
	$(VENV)/bin/tox run -e py311

test-all: $(VENV)/.tox
	$(VENV)/bin/tox run -e all

lint types: $(VENV)/.tox
	$(VENV)/bin/tox run -e $@

docs: $(VENV)/.docs
	$(VENV)/bin/mkdocs build --strict

clean:
	rm -rf $(VENV) .tox build dist site

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.gr-bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet $(CONSTRAINED) --editable .
	@touch $@

$(VENV)/.tox: constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet $(CONSTRAINED) tox
	@touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet $(CONSTRAINED) --editable '.[docs]'
	@touch $@
