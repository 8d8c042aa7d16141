# Two commands for a fresh machine with python3 >= 3.11, python3-venv and make:
#   make demo   set everything up and run the main job: three nodes, a film, the master killed
#   make test   set everything up and pass the tests
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: demo test check clean

demo: $(READY)
	$(BIN)/nanoboost demo $(if $(FILM),--film "$(FILM)")

test: check
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
