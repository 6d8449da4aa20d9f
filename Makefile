# Every target but clean makes .venv from envs/requirements.lock by itself.
PYTHON ?= python3
CORES ?= 2
BIN := .venv/bin
LOCK := envs/requirements.lock
UV_VERSION := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' $(LOCK))
export UV_NO_PROGRESS := 1

# Its jobs are so small that they take longer to start than to work: one core each, side by side, but for the archive,
# which all others wait for.
ALONE := embed embed_on_cpu train train_permuted neighbors explorer
# With Galileo-nano, where its weights are given: `published`, their file, or the folder of encoder.pt.
GALILEO_WEIGHTS := $(or $(wildcard $(GALILEO)/encoder.pt),$(GALILEO))
DEMO := --cores $(CORES) --set-threads $(ALONE:%=%=1) $(if $(GALILEO),--configfile config/config.yaml config/demo-galileo.yaml \
	--config 'features={galileo_nano: {weights: "$(GALILEO_WEIGHTS)"}}')

.PHONY: demo resume report test test-workflow test-slurm test-lowest bench rehearsal no-pixels lint format lock docs site clean
.DEFAULT_GOAL := demo

demo: .venv/ready  ## the simulated archive from patches to tables; GALILEO=published (or FOLDER) adds a trained model
	$(BIN)/snakemake $(DEMO)
	@$(BIN)/earthprobe show results/simulated

resume: .venv/ready  ## the same after a killed run; ARGS="--workflow-profile slurm --configfile ..." for another than the demo
	$(BIN)/earthprobe resume $(or $(ARGS),$(DEMO))

test: .venv/ready  ## unit tests first; then runs of the workflow and of SLURM, which mostly waits, side by side
	$(BIN)/python -m pytest tests/unit --numprocesses $(CORES) --dist worksteal --cov --cov-report=term:skip-covered
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-workflow test-slurm

test-workflow: .venv/ready
	$(BIN)/python -m pytest tests/workflow --durations=10

test-slurm: .venv/ready
	$(BIN)/python -m pytest tests/slurm

test-lowest: .venv-lowest/ready  ## unit tests with the lowest versions that pyproject.toml allows
	.venv-lowest/bin/python -m pytest tests/unit --numprocesses $(CORES) --dist worksteal

bench: .venv/ready  ## speed and memory beside other ways, as one table
	$(BIN)/python -m bench

rehearsal: .venv/ready  ## merge, probes, evaluation and figures at full scale, over synthetic embeddings: an hour or more
	@test -n "$(DATA)" || { echo "make rehearsal DATA=FOLDER, with bigearthnet-v1-splits/*.csv.xz and reben-metadata/*.parquet in it"; exit 1; }
	$(BIN)/python -m bench.rehearsal --data $(DATA) --cores $(CORES)

no-pixels: .venv/ready  ## what place, season and neighbours tell of BigEarthNet's labels, on the split of v1 and on reBEN's
	@test -f "$(DATA)/metadata.parquet" || { echo "make no-pixels DATA=FOLDER, with reBEN's metadata.parquet and the split files of v1 in it"; exit 1; }
	$(BIN)/earthprobe list-reben --metadata $(DATA)/metadata.parquet --output results/no-pixels-v1.parquet \
		$(foreach split,train val test,--$(split) $(firstword $(wildcard $(DATA)/bigearthnet-$(split).csv $(DATA)/$(split).csv $(DATA)/bigearthnet-$(split).csv.xz)))
	$(BIN)/earthprobe list-reben --metadata $(DATA)/metadata.parquet --output results/no-pixels-reben.parquet
	$(BIN)/snakemake tables figures check --cores $(CORES) --configfile config/no-pixels.yaml
	$(BIN)/snakemake tables figures check --cores $(CORES) --configfile config/no-pixels.yaml config/no-pixels-reben.yaml

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/rules

# The interpreter is checked first, because a later failure would name a package, not the cause.
.venv/ready: $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "earthprobe needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet uv==$(UV_VERSION); }
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode $(LOCK)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.venv-lowest/ready: .venv/ready
	$(PYTHON) -m venv .venv-lowest
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --python-version 3.11 --no-annotate --no-emit-index-url \
		--no-emit-find-links --no-header --all-extras pyproject.toml -o .venv-lowest/requirements.lock
	$(BIN)/uv pip sync --quiet --python .venv-lowest/bin/python --compile-bytecode .venv-lowest/requirements.lock
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

lock: .venv/ready  ## resolves pyproject.toml anew into the lock and the conda environment
	$(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --upgrade \
		--no-annotate --no-emit-index-url --no-emit-find-links --no-header --all-extras pyproject.toml -o $(LOCK)
	$(BIN)/python envs/export_conda.py $(LOCK) envs/environment.yaml

clean:
	rm -rf results/simulated .snakemake

docs: .venv/ready  ## config/README.md from the schema, docs/models.md, and the picture of the rules (needs graphviz)
	$(BIN)/python config/write_readme.py
	$(BIN)/python config/write_torchgeo.py
	$(BIN)/python config/write_models.py
	$(BIN)/snakemake tables figures check --rulegraph dot 2>/dev/null | dot -Tpng -Gdpi=80 -o docs/images/rulegraph.png

site: .venv/ready  ## the documentation as a site in site/, which needs no network to be read; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

report: .venv/ready  ## one HTML file of the demo's results
	$(BIN)/snakemake $(DEMO)
	$(BIN)/snakemake --report results/simulated/report.html $(DEMO)
