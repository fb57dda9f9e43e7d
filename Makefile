# What one can do here; `make` alone prints this list.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: help run test check format docs lock bench soak drill plots pictures alert-drill flood image weigh bare fuzz clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

# One stamp for what the gateway needs, one for what its developers need on top of it.
$(VENV)/run.stamp: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes --no-deps -r requirements.lock
	$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	$(PIP) install --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

$(VENV)/fuzz.stamp: requirements-fuzz.lock $(VENV)/dev.stamp
	$(PIP) install --require-hashes --no-deps -r requirements-fuzz.lock
	@touch $@

$(VENV)/plots.stamp: requirements-plots.lock $(VENV)/dev.stamp
	$(PIP) install --require-hashes --no-deps -r requirements-plots.lock
	@touch $@

run: $(VENV)/run.stamp ## the gateway on an embedded spool, with the sandbox as all three providers
	@$(BIN)/mailquay demo

test: $(VENV)/dev.stamp ## everything CI runs: check, then all tests
	@tests/system-packages
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

check: $(VENV)/dev.stamp ## format, lint, types, import order
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp ## bring the sources into form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/dev.stamp ## render the tables of settings, metrics and capabilities, and the boards, from the code
	$(BIN)/python docs/render.py
	$(BIN)/python -m grafana.render

bench: $(VENV)/dev.stamp ## letters per second, beside Postfix where it can be installed
	@$(BIN)/python -m bench

ROUNDS ?= 5000
MINUTES ?= 60
soak: $(VENV)/dev.stamp ## kills and power cuts, at most ROUNDS=5000 of them and for MINUTES=60
	@tests/system-packages
	@$(BIN)/python -m tests.crash.soak --rounds $(ROUNDS) --minutes $(MINUTES) --figures docs/durability-figures.md

SECONDS_EACH ?= 60
fuzz: $(VENV)/fuzz.stamp ## let atheris look for octets that break a promise, SECONDS_EACH=60
	@for target in reader session letter; do \
		$(BIN)/python -m tests.fuzz $$target --seconds $(SECONDS_EACH) || exit 1; \
	done

IDLE ?= 10000
LARGE ?= 200
flood: $(VENV)/dev.stamp ## the front door beside IDLE=10000 idle connections, and LARGE=200 letters of 20 MiB at once
	MAILQUAY_TEST_IDLE=$(IDLE) $(BIN)/python -m pytest -rP tests/e2e/test_flood.py
	MAILQUAY_TEST_LARGE=$(LARGE) MAILQUAY_TEST_LARGE_MIB=20 MAILQUAY_TEST_BUDGET_MIB=256 \
		$(BIN)/python -m pytest -rP tests/e2e/test_memory.py

drill: $(VENV)/dev.stamp ## providers limited, down, hung and flapping under load, as a table
	@tests/system-packages
	@$(BIN)/python -m tests.drills --record var/drills.json

alert-drill: $(VENV)/dev.stamp ## every alert raised for real, the table into docs/alert-drill.md
	@tests/system-packages
	@$(BIN)/python -m tests.alerts --page docs/alert-drill.md

plots: $(VENV)/plots.stamp var/drills.json ## pictures and table of docs/drills.md, from the last drill
	@$(BIN)/python -m tests.drills.page var/drills.json docs/drills.md

pictures: $(VENV)/plots.stamp ## the boards after a gateway's day, into docs/boards
	@tests/system-packages
	@tests/pictures/system-packages
	@$(BIN)/python -m tests.pictures

var/drills.json:
	@$(MAKE) --no-print-directory drill

# The lock files carry hashes and no address of any package index.
lock: $(VENV)/dev.stamp ## pin the dependencies anew
	$(BIN)/uv pip compile -q pyproject.toml --group build --universal --generate-hashes --no-header -U -o requirements.lock
	$(BIN)/uv pip compile -q pyproject.toml --group dev --universal --generate-hashes --no-header -U -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile -q --group fuzz --universal --generate-hashes --no-header -U -o requirements-fuzz.lock
	$(BIN)/uv pip compile -q --group plots --universal --generate-hashes --no-header -U -c requirements-dev.lock -o requirements-plots.lock

image: ## the container image, by docker, podman or buildah, whichever is here
	@tool=$$(command -v docker || command -v podman || command -v buildah) || \
		{ echo "docker, podman or buildah is needed" >&2; exit 69; }; \
	BUILDAH_FORMAT=docker "$$tool" build -t mailquay --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .

weigh: $(VENV)/dev.stamp ## the image's size, start and memory, into docs/container.md
	@tests/system-packages
	@$(BIN)/python -m tests.container.weigh

bare: $(VENV)/dev.stamp ## README.md and docs/install.md typed in a bare Debian; needs root
	@tests/system-packages
	@$(BIN)/python -m tests.container.bare

clean: ## forget the virtual environment and the demonstration spool
	rm -rf $(VENV) var
