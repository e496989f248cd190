# Everything a newcomer types; each target sets up `.venv` first where it is not up to date.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done || echo python3)
B := .venv/bin
export PATH := $(CURDIR)/$(B):$(PATH)
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-long check ui bench system-deps set-up
demo: set-up ; @$(B)/omnirl demo
test: set-up ; @$(B)/pytest -n 2 --dist loadfile -m "not slow" --cov=omnirl --cov-report=term:skip-covered
test-long: set-up ; @$(B)/pytest -m slow
check: set-up ; @$(B)/ruff check . && $(B)/ruff format --check . && $(B)/lint-imports && $(B)/pyright
ui: set-up ; @$(B)/omnirl ui
bench: set-up ; @for f in benchmarks/*.py; do echo "== $$f" && $(B)/python $$f || exit 1; done
system-deps: ; @$(PYTHON) bootstrap.py system-deps
set-up: ; @$(PYTHON) bootstrap.py
