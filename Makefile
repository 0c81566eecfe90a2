# Every target sets up what it needs; `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The tests start hundreds of processes: each would compile our modules again.
export PYTHONDONTWRITEBYTECODE :=

help:
	@echo 'Times on two cores:'
	@echo 'make setup   set up a virtual environment in .venv with the versions of constraints.txt (3 min)'
	@echo 'make demo    train the sketch classifier on generated drawings, with two workers (2 min)'
	@echo 'make draw    write draw.html, a page to draw on, which recognises what you draw (10 s)'
	@echo 'make compose compose four chorales to hear and to read, in composed/ (1 min)'
	@echo 'make quick   run the tests that need no Ray, no browser and no server (4 min)'
	@echo 'make test    run all tests but those of make faults (22 min); as root, install Chromium first'
	@echo 'make faults  run the tests of kills, full disks, outages and lost nodes, and long trainings (90 min)'
	@echo 'make check   check lint, format and types (1 min)'
	@echo 'make audit   look up known vulnerabilities of the pinned packages (needs the network)'
	@echo 'make format  format the code as make check requires (1 s)'
	@echo 'make clean   delete .venv, build, runs/demo and caches (1 s)'

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)
	rm -rf runs/demo
	$(BIN)/python jobs/train_sketch.py --data demo --preset quick --epochs 6 --workers 2 --name demo

draw: $(READY)
	$(BIN)/python jobs/draw.py

compose: $(READY)
	$(BIN)/python jobs/compose.py --count 4 --temperatures 0.8 --rules strict

# One process a core. The quick tests run beside the others, which often wait for processes.
quick: $(READY)
	$(MAKE) --jobs=2 --keep-going quick-1 quick-2

test: $(READY) chromium
	$(MAKE) --jobs=2 --keep-going without-ray with-ray

# Two halves that take equally long.
HALF := tests/chorale tests/record

quick-1:
	$(BIN)/python -m pytest -m quick $(HALF)

quick-2:
	$(BIN)/python -m pytest -m quick $(HALF:%=--ignore %)

# Prints its output in one piece at the end, since it runs beside other tests. As nice as Ray's
# workers, which would starve beside it.
without-ray:
	@mkdir -p build; nice -n 15 $(BIN)/python -m pytest -m 'not (ray or faults or long)' > build/$@.log 2>&1; \
	code=$$?; cat build/$@.log; exit $$code

with-ray:
	$(BIN)/python -m pytest -m 'ray and not (faults or long)'

# The tests of the page need a browser, and skip without one.
chromium:
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || \
	command -v google-chrome > /dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
	apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends chromium \
	> /dev/null; } || echo 'no Chromium here: the tests of the page will be skipped'

faults: $(READY)
	$(BIN)/python -m pytest -m 'faults or long'

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit:
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --quiet pip-audit
	build/audit/bin/pip-audit --strict --disable-pip --no-deps \
	    --requirement constraints.txt --requirement cluster/objectstore/requirements.txt

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs/demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help setup demo draw compose quick quick-1 quick-2 without-ray with-ray test chromium faults check audit format clean
