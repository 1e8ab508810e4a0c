# Graft. `make demo` and `make test` set everything up by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 3000

.DEFAULT_GOAL := help
.PHONY: help setup fmt lint test test-quick bench bench-banking77 bench-serving bench-tables bench-media bench-engine bench-heads bench-zero-shot bench-ensembles bench-serving-images bench-start serve demo docs bento clean

help:  ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-20s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Graft needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Set PYTHON=/path/to/python3.11."; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "This Python has no venv module; on Debian and Ubuntu: sudo apt install python3-venv"; exit 2; }
	@echo "Setting up $(VENV): about 2.5 GB, some minutes the first time ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[serve,fit,timm,dev]'
	@touch $@

setup: $(VENV)/.ready  ## Create .venv with the pinned packages

fmt: setup  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup  ## Formatting, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup  ## Lint and all tests
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest

test-quick: setup  ## Tests without real weights and real processes
	$(BIN)/pytest -m "not slow"

serve: setup  ## Serve on http://127.0.0.1:3000 until Ctrl-C
	$(BIN)/graft serve --host $(HOST) --port $(PORT)

demo: setup  ## Upload, adapt, predict: the main job, start to end
	@$(BIN)/python examples/demo.py

bench: bench-banking77 bench-tables bench-media bench-engine bench-heads bench-zero-shot bench-ensembles bench-serving bench-serving-images bench-start  ## All benchmarks (needs BENCH_DATA)

bench-banking77: setup  ## Accuracy, log loss and seconds on Banking77 over HTTP (needs BENCH_DATA)
	$(BIN)/python -m benchmarks.banking77

bench-serving: setup  ## Rate, latency, memory beside ONNX Runtime, FastAPI, LitServe; 8 minutes (needs BENCH_DATA)
	$(BIN)/python -m benchmarks.serving

bench-tables: setup  ## Quality beside scikit-learn, and speed, on tables over HTTP (needs BENCH_DATA)
	$(BIN)/python -m benchmarks.tables

bench-media: setup  ## Accuracy on images and sounds over HTTP, and what ranking costs (needs BENCH_DATA)
	$(BIN)/python -m benchmarks.media

bench-engine: setup  ## `auto` beside every single method, over HTTP; an hour (needs BENCH_DATA)
	$(BIN)/python -m benchmarks.engine

bench-heads: setup  ## What heads cost against rows, width and classes, beside scikit-learn; writes the plots of docs/costs.md
	$(BIN)/python -m benchmarks.heads

bench-zero-shot: setup  ## Classes without examples on AwA and Banking77, and what they cost (needs BENCH_DATA)
	$(BIN)/python -m benchmarks.zero_shot
	$(BIN)/python -m benchmarks.zero_shot_cost
	$(BIN)/python -m benchmarks.new_classes
	$(BIN)/python -m benchmarks.mixture_cifar10

bench-ensembles: setup  ## Weighted averages beside their members (needs BENCH_DATA)
	$(BIN)/python -m benchmarks.ensembles

bench-serving-images: setup  ## Rate of served images beside ONNX Runtime and FastAPI (needs BENCH_DATA)
	$(BIN)/python -m benchmarks.serving_images

bench-start: setup  ## Seconds to ready and memory of the HTTP process
	$(BIN)/python -m benchmarks.start

docs: setup  ## Write the pages that follow from the code
	$(BIN)/python docs/generate.py

bento: setup  ## Build the bento (no docker needed); it lands in .bento/
	BENTOML_HOME=$(CURDIR)/.bento BENTOML_DO_NOT_TRACK=True $(BIN)/bentoml build

clean:  ## Remove what was built, but not .venv and not .graft
	rm -rf .bento dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
