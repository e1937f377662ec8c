# Every target but gpu and atari-gpu builds the same virtual environment first,
# from the locked requirements. Name another Python or folder with
#   make test PYTHON=python3.12 VENV=/somewhere/else
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO ?= demo

ATARI_DEMO ?= atari-demo
ATARI_GPU ?= runs/atari26
GPU ?= runs/gpu
GPU_MINUTES ?= 10

.PHONY: demo atari-demo atari-gpu gpu test test-slow lint docs bench

demo: $(VENV)/.installed  ## The optimist solves DeepSea-20; pictures in demo/.
	$(BIN)/python -m experiments.deep_sea.run --preset optimistic --size 20 --num-seeds 4 \
	    --num-episodes 400 --evaluate-every 10 --output $(DEMO)

atari-demo: $(VENV)/.installed  ## HyperAgent learns Road Runner; pictures.
	$(BIN)/python -m experiments.atari.run --preset small_atari \
	    --games RoadRunner --num-steps 50000 --evaluate-every 10000 \
	    --eval-episodes 5 --final-episodes 10 --max-frames 18000 \
	    --output $(ATARI_DEMO)

# On an accelerator: throughput, once, and then the 26 games together, which the
# same command resumes where it was stopped. The locked requirements are for CPUs;
# name the Python of an environment that has jax for the accelerator, which is
# left as it is: make atari-gpu PYTHON=/environment/bin/python
atari-gpu:
	test -e $(ATARI_GPU)-benchmark/atari.json || \
	    $(PYTHON) -m benchmarks.atari --presets paper_atari \
	    --num-agents 1 8 26 64 --output $(ATARI_GPU)-benchmark
	$(PYTHON) -m experiments.atari.run --suite atari26 \
	    --num-steps 100000 --evaluate-every 50000 --eval-episodes 5 \
	    --final-episodes 10 --max-frames 27000 --no-save-replay \
	    --output $(ATARI_GPU)

gpu:  ## All that waits for an accelerator, with PYTHON as in atari-gpu.
	$(PYTHON) -m benchmarks.gpu --minutes $(GPU_MINUTES) --output $(GPU)

test: $(VENV)/.installed  ## The tests, in 8 to 10 minutes on two cores.
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/.installed  ## The longer checks alone.
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed  ## The style, and the types of the package.
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.installed  ## The documentation as a site, in build/docs.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

bench: $(VENV)/.installed  ## Updates per second and share of the peak.
	$(BIN)/python -m benchmarks.learner --output benchmarks/results
	$(BIN)/python -m benchmarks.atari --output benchmarks/results

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    -r requirements.txt
	touch $@
