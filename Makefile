# Each target may be called first and again: it makes .venv where there is none. Python 3.11, pip and a C compiler
# are all that has to be there before.

CORES ?= all
# One more than two cores, because tests wait for browsers and other processes.
WORKERS ?= 3
BIN := .venv/bin
export PYTHON
# Every job is a fresh interpreter; an environment that forbids bytecode would make each of them compile the library anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test lint docs bench format generate requirements environment

help:
	@echo "make demo          install, run the embedded phantom study and the real exam, say where the pages are"
	@echo "make test          run the tests"
	@echo "make lint          check format, style, types and the workflow"
	@echo "make docs          build the documentation as a site in build/site"
	@echo "make bench         run every benchmark"
	@echo "make format        bring code and workflow to their format"
	@echo "make generate      write config.yaml, its schema, envs/ and the feature dictionary again from their sources"
	@echo "make requirements  pin the packages that pyproject.toml names again"

environment:
	@tools/install.sh

demo: environment
	$(BIN)/snakemake --cores $(CORES) all real_exam
	@$(BIN)/mammoflow config results config.yaml

# Tests start many interpreters, each of which would compile the library anew without its bytecode.
test: environment
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# A link to a page or heading that does not exist stops it.
docs: environment
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lint: environment docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy
	$(BIN)/python tools/known_faults.py

bench: environment
	@for file in benchmarks/*.py; do echo "$$file"; $(BIN)/python "$$file" || exit 1; done

format: environment
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile workflow

generate: environment
	$(BIN)/mammoflow config defaults >config.yaml
	$(BIN)/mammoflow config schema >workflow/schemas/config.schema.json
	$(BIN)/python tools/environments.py
	$(BIN)/python tools/feature_dictionary.py

requirements: environment
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra download --python-version 3.11 --generate-hashes --no-build-isolation \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" --quiet \
		--output-file requirements.txt
	$(MAKE) generate
