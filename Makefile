# Everything from here sets itself up; `make` alone says what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:
	@echo 'Times on two cores:'
	@echo 'make setup   a virtual environment in .venv, with the versions of constraints.txt (3 min)'
	@echo 'make demo    train the sketch classifier on drawings of its own, with two workers (2 min)'
	@echo 'make compose new chorales to hear and to read, in composed/ (1 min)'
	@echo 'make quick   the tests that need no Ray, no browser and no server (4 min)'
	@echo 'make test    all tests but those of make faults (30 min); as root it installs Chromium'
	@echo 'make faults  what kills, full disks, outages and lost nodes do to runs (75 min)'
	@echo 'make check   lint, format and types (1 min)'
	@echo 'make audit   look the pinned packages up among known vulnerabilities (needs the network)'
	@echo 'make format  put the code into the format that check wants (1 s)'
	@echo 'make clean   delete .venv, runs/demo and caches (1 s)'

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)
	rm -rf runs/demo
	$(BIN)/python jobs/train_sketch.py --data demo --epochs 6 --workers 2 --name demo

compose: $(READY)
	$(BIN)/python jobs/compose.py --count 4

# One process a core. The quick tests run beside the others, which often wait for processes.
quick: $(READY)
	$(MAKE) --jobs=2 --keep-going quick-chorale quick-others

test: $(READY) chromium
	$(MAKE) --jobs=2 --keep-going quick-all not-quick

quick-chorale:
	$(BIN)/python -m pytest -m quick tests/chorale

quick-others:
	$(BIN)/python -m pytest -m quick --ignore tests/chorale

# What it says comes in one piece when it is done.
quick-all:
	@mkdir -p build; $(BIN)/python -m pytest -m quick > build/quick.log 2>&1; \
	code=$$?; cat build/quick.log; exit $$code

not-quick:
	$(BIN)/python -m pytest -m 'not quick and not faults'

# The tests of the page need a browser, and skip without one.
chromium:
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || \
	command -v google-chrome > /dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
	apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends chromium \
	> /dev/null; } || echo 'no Chromium here: the tests of the page will be skipped'

faults: $(READY)
	$(BIN)/python -m pytest -m faults

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

.PHONY: help setup demo compose quick quick-chorale quick-others quick-all not-quick test chromium faults check audit format clean
