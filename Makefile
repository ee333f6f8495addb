# MultiContrastSR from the shell. `make help` lists what there is; everything stays inside this folder (.venv, *-output).

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
EXTRAS := slicer,train,demo,test,docs

# An extra index for torch alone: PyTorch's own for CPU wheels on Linux, say. Empty: wherever pip finds the pinned version.
TORCH_INDEX ?=

# numpy's BLAS waits busily for its helper threads: with other work on the machine two take longer than one.
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: help install demo evaluate test test-fast bench gpu-pack gpu-check docs docs-blocks pictures lint clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## ?/  make \1\t/' | expand -t 20

install: $(INSTALLED)  ## create .venv and install the library, its extras and what the tests need

demo: $(INSTALLED)  ## super-resolve a real scan: volumes, Slicer scene, table and pictures in demo-output/
	PYTHONPATH=Testing $(RUN) -m demo

evaluate: $(INSTALLED)  ## compare all methods on the validation patient, about an hour (needs MULTICONTRASTSR_DATA)
	$(VENV)/bin/multicontrastsr evaluate --data "$$MULTICONTRASTSR_DATA" --preset P3 --subjects patient26 --alone \
		--methods sinc guided swift dual-arbnet dinet minet --scales 2 3 4

test: $(INSTALLED)  ## run every test, in two processes
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile $(TESTS)

test-fast: $(INSTALLED)  ## run the tests that are not slow, in about two minutes
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile -m "not slow" $(TESTS)

bench: $(INSTALLED)  ## time every method and stage side by side: bench-output/bench.md and .json
	$(RUN) Testing/bench.py

docs: $(INSTALLED)  ## build the documentation as a site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

gpu-pack: $(INSTALLED)  ## make gpu-pack.npz, the scans that gpu-check needs (7 MB)
	PYTHONPATH=.:Testing $(RUN) -m gpu_check.pack gpu-pack.npz

gpu-check:  ## measure a GPU in 6 minutes: docs/gpu-check.json; PYTHON needs torch, numpy and scipy only
	env -u OMP_NUM_THREADS -u OPENBLAS_NUM_THREADS PYTHONPATH=.:Testing $(PYTHON) -m gpu_check --pack gpu-pack.npz  # as users run it

docs-blocks: $(INSTALLED)  ## rewrite what commands print in docs/: methods, API, notebook, results (MULTICONTRASTSR_DATA), benchmark (after make bench), GPU
	PYTHONPATH=. $(RUN) Testing/documentation.py
	PYTHONPATH=. $(RUN) Testing/notebook.py

pictures: $(INSTALLED)  ## redraw the pictures in Resources/Screenshots, all but batch-* (needs real scans)
	PYTHONPATH=Testing $(RUN) -m demo.pictures

lint: $(INSTALLED)  ## check style and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

clean:  ## remove .venv and everything that these commands made
	rm -rf $(VENV) build dist *.egg-info demo-output bench-output test-output site .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Re-made when a version changes, so a checkout that moved on never runs with old packages.
$(INSTALLED): pyproject.toml constraints.txt Testing/system_libraries.sh
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { echo >&2 \
	"$(PYTHON) is not Python 3.10 to 3.13, for which Slicer's packages exist. Name one: make PYTHON=python3.12"; exit 1; }
	@Testing/system_libraries.sh
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --constraint constraints.txt torch
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@
