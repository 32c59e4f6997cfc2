# make demo   set up .venv, then run the whole pipeline on built-in text   (make demo LANG_=zh for Chinese)
# make test   set up .venv, then lint, types and tests, exactly as CI does
# Both can be run again at any time; set-up is done once and again when its inputs change.

PYTHON ?= python3
LANG_ ?= en
BIN := .venv/bin

.PHONY: demo test quick format setup clean

demo: setup
	$(BIN)/textdl demo --lang $(LANG_)

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2

quick: setup
	$(BIN)/pytest -n 2 -m "not slow"

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup:
	@$(PYTHON) scripts/bootstrap.py

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
