# Everything a person or a machine does with this repository. `make help` lists it.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
WORKERS ?= auto
DEMO    ?= demo
TORCH   := torch==2.13.0
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Stamps: installed once, and again only when pyproject.toml changes.
MADE := $(VENV)/.made
BASE := $(VENV)/.base
FULL := $(VENV)/.full

.DEFAULT_GOAL := help
.PHONY: help demo test lint format package docs bench clean distclean

help:  ## list what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "whodrew needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1 || true)." \
	       "Name another with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@touch $@

$(BASE): pyproject.toml | $(MADE)
	@echo "installing whodrew into $(VENV) (once)"
	@$(PIP) --editable .
	@touch $@

# torch first, and held: whatever pulls it later would bring another, with gigabytes of CUDA.
$(FULL): pyproject.toml | $(MADE)
	@echo "installing whodrew with every extra that the tests use into $(VENV) (once)"
	@$(PIP) '$(TORCH)'
	@echo '$(TORCH)' > $(VENV)/torch.txt
	@$(PIP) --constraint $(VENV)/torch.txt --editable '.[test,lint,docs,torch,onnx,export,hub,ray]'
	@touch $(BASE) $@

demo: $(BASE)  ## audit the sample arena, on a fresh machine too
	$(BIN)/whodrew audit --sample --out $(DEMO)
	@echo
	@echo "The report: $(abspath $(DEMO))/report.html (open it in any browser; it needs no network)"
	@echo "The figures: $(abspath $(DEMO))/audit.json, tables beside it in $(DEMO)/tables/"

test: lint package docs  ## everything that must pass: lint, types, rooms, wheel, docs, tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: $(FULL)  ## ruff, mypy --strict, the rooms' one-way imports, file sizes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@find src -name '*.py' -exec awk 'END { if (NR > 400) { print FILENAME ": " NR " lines; 400 is the limit" ; exit 1 } }' {} \; \
	  | { ! grep . ; }

format: $(FULL)  ## put the code in its one format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

package: $(FULL)  ## build the wheel and see that it holds the package's data
	@rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	@$(BIN)/python -m zipfile --list dist/*.whl > dist/files.txt
	@for wanted in whodrew/py.typed whodrew/audit/schemas/ whodrew/defend/schemas/ whodrew/ranking/schemas/ whodrew/report/templates/; do \
	  grep -q "^$$wanted" dist/files.txt || { echo "the wheel lacks $$wanted" >&2; exit 1; }; done
	@ls dist/*.whl

docs: $(FULL)  ## build the documentation into site/, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(FULL)  ## run the benchmarks
	$(BIN)/python -m benchmarks

clean:  ## remove what was built
	rm -rf build dist site $(DEMO) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean  ## and the virtual environment
	rm -rf $(VENV)
