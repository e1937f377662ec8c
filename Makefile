# Every target builds the same virtual environment first, from the locked
# requirements. Name another Python or folder with
#   make test PYTHON=python3.12 VENV=/somewhere/else
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO ?= demo

.PHONY: demo test test-slow lint bench

demo: $(VENV)/.installed  ## HyperAgent learns DeepSea-20; pictures in demo/.
	$(BIN)/python -m experiments.deep_sea.run --size 20 --num-seeds 4 \
	    --num-episodes 400 --evaluate-every 10 --output $(DEMO)

test: $(VENV)/.installed  ## The tests, in under ten minutes on two cores.
	$(BIN)/python -m pytest -n 2

test-slow: $(VENV)/.installed  ## The longer checks alone.
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed
	$(BIN)/ruff check .

bench: $(VENV)/.installed  ## Updates per second and share of the peak.
	$(BIN)/python -m benchmarks.learner --output benchmarks/results

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    -r requirements.txt
	touch $@
