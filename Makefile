# make demo   set up .venv, measure the suites quick and claims-quick on the CPU, write their reports,
#             and set the paper's claims beside what was measured
# make test   set up .venv, run the tests through tox
#
# PyTorch for Linux comes with several GB of CUDA libraries by default. On a machine without a GPU:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
CONSTRAINED := --constraint constraints.txt

.PHONY: demo test lint types clean

demo: $(VENV)/.gr-bench
	$(VENV)/bin/gr-bench run quick --out runs/quick
	@$(VENV)/bin/gr-bench report runs/quick > /dev/null
	$(VENV)/bin/gr-bench run claims-quick --out runs/claims-quick
	@$(VENV)/bin/gr-bench report runs/claims-quick > /dev/null
	@$(VENV)/bin/gr-bench claims runs/claims-quick
	@echo
	@echo "The reports: $(CURDIR)/runs/quick/report/report.html"
	@echo "             $(CURDIR)/runs/claims-quick/report/report.html"

test: $(VENV)/.tox
	$(VENV)/bin/tox run -e py311

lint types: $(VENV)/.tox
	$(VENV)/bin/tox run -e $@

clean:
	rm -rf $(VENV) .tox build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.gr-bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet $(CONSTRAINED) --editable .
	@touch $@

$(VENV)/.tox: constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet $(CONSTRAINED) tox
	@touch $@
