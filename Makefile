# `make help` lists the targets. A new user needs two of them: `make demo` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Any Python from 3.11 on; found on the PATH unless given: make demo PYTHON=/path/to/python
PYTHON ?=
# Rows of a benchmark also go to this file: make verify JSON=results.json
JSON ?=
# More arguments for the command: make test ARGS="-k gateway"
ARGS ?=
JSON_FLAG = $(if $(JSON),--json $(JSON))

##@ Use

.PHONY: demo
demo: $(STAMP) ## Start a whole cluster here, ask it questions, show what happened
	@$(BIN)/perfuse demo $(ARGS)

.PHONY: test
# A process that dies ends the run: xdist 3.8 may wait for ever for groups of one that it replaced.
# Three, for two cores: the one with the live tests waits as often as it computes.
test: $(STAMP) ## Run all tests (three processes; those that start Ray one after another)
	@$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder --max-worker-restart 0 \
	  $(ARGS)

.PHONY: check
check: $(STAMP) ## Formatting, lint, types, import arrows, generated protos, tidiness, manifests
	@failed=(); \
	run() { echo "-- $$1"; "$${@:2}" || failed+=("$$1"); }; \
	run "ruff format" $(BIN)/ruff format --check --quiet .; \
	run "ruff check" $(BIN)/ruff check --quiet --output-format concise .; \
	run "mypy" $(BIN)/mypy --no-error-summary; \
	run "lint-imports" $(BIN)/lint-imports --no-logo; \
	run "protos" $(BIN)/python -m protos.generate --check; \
	run "tidy" $(BIN)/python -m pytest -q -p no:randomly tests/tidy; \
	run "manifests" $(BIN)/python -m pytest -q -p no:randomly tests/deploy; \
	if [ $${#failed[@]} -gt 0 ]; then \
	  printf '\nmake check failed:'; printf ' [%s]' "$${failed[@]}"; echo; exit 1; \
	fi

.PHONY: venv
venv: $(STAMP) ## Install everything into .venv (the other targets do it when needed)

.PHONY: kernels
kernels: $(STAMP) ## Build the native kernels again (installing builds them where g++ is)
	@$(BIN)/python -m kernels.native.build

.PHONY: golden
golden: $(STAMP) ## Run the golden scenarios again, print which records changed, keep them
	@$(BIN)/python -m tests.golden $(ARGS)

.PHONY: format
format: $(STAMP) ## Format the code and apply the safe lint fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

##@ Measure (each: JSON=file for the rows, ARGS="..." for more options)

.PHONY: verify
verify: $(STAMP) ## Run every bar in full and show one table
	@$(BIN)/python -m benchmarks.verify $(JSON_FLAG) $(ARGS)

BENCHMARKS := bench-logits bench-recall bench-answers bench-exact bench-worlds bench-throughput \
              bench-footprint bench-transport bench-cancel bench-hashseed bench-virtual \
              bench-kernels bench-serve bench-precision bench-triton bench-events bench-demo \
              bench-local bench-laws bench-configs bench-templates bench-traces bench-structured \
              bench-indexing bench-curve
.PHONY: $(BENCHMARKS)
bench-logits: ## Our logits beside Hugging Face's
bench-recall: ## Vector search: recall beside exhaustive search
bench-answers: ## Retrieval-augmented answers that are right
bench-exact: ## Tokens of the cluster beside those of one process
bench-worlds: ## The same scenario in the local world beside the virtual one
bench-throughput: ## Tokens a second with many users
bench-footprint: ## Memory of all processes of the default local cluster, and its start
bench-transport: ## Latency and bandwidth of each transport
bench-cancel: ## What a cancelled request leaves behind: nothing
bench-hashseed: ## Same trace hash under different PYTHONHASHSEED
bench-virtual: ## The demo in the virtual world: its time, and what it does not import
bench-events: ## Events a second of the message path, beside an earlier commit
bench-demo: ## The demo's run proper in the virtual world, beside an earlier commit
bench-local: ## Tokens a second of the local world, beside an earlier commit
bench-laws: ## Emulated time beside hand arithmetic, and the laws under faults
bench-curve: ## A link's time by message size beside measured RDMA transfers
bench-traces: ## A whole recorded trace through the workload generator: memory, first request
bench-templates: ## Public chat templates beside transformers (downloads them first)
bench-indexing: ## Passages a second into a vector store, and the server's health meanwhile
bench-precision: ## What bf16, int8 and int4 lose beside exact mode
bench-serve: ## Tokens a second of one process over HTTP at 1, 4 and 16 streams
bench-structured: ## Structured output: every answer valid, and what a token of it costs
bench-kernels: ## Each kernel beside the measured memory bandwidth and beside torch
bench-triton: ## The kernels' GPU twins beside the chip's copy bandwidth (needs a GPU and Triton)
bench-configs: ## Published model configurations: planned as published, or refused by name
$(BENCHMARKS): bench-%: $(STAMP)
	@$(BIN)/python -m benchmarks.$* $(JSON_FLAG) $(ARGS)

.PHONY: mutants
mutants: $(STAMP) ## Would the tests notice? 200 faults, planted one at a time at random (an hour)
	@$(BIN)/python -m benchmarks.mutants $(JSON_FLAG) $(ARGS)

.PHONY: bench-clients
bench-clients: $(STAMP) ## Nine clients of people (installs them first: minutes, network, 5 GB)
	@$(BIN)/python -m benchmarks.clients.setup
	@$(BIN)/python -m benchmarks.clients $(JSON_FLAG) $(ARGS)

.PHONY: bench-wires
bench-wires: $(STAMP) ## Round trips; faults; hidden latency; all-to-all beside MPICH (installs it)
	@$(BIN)/python -m benchmarks.wires.setup
	@$(BIN)/python -m benchmarks.wires $(JSON_FLAG) $(ARGS)

.PHONY: bench-memory
bench-memory: $(STAMP) ## Flash by formula, size, layout and wear; energy; retrieval of 1 M vectors
	@$(BIN)/python -m benchmarks.memory $(JSON_FLAG) $(ARGS)

.PHONY: bench-network
bench-network: $(STAMP) ## Links, collectives, models, digests, ranks, replicas of experts
	@$(BIN)/python -m benchmarks.network $(JSON_FLAG) $(ARGS)

.PHONY: bench-chaos
bench-chaos: $(STAMP) ## Faults in virtual time and of real processes, overload, a short search
	@$(BIN)/python -m benchmarks.chaos $(JSON_FLAG) $(ARGS)

.PHONY: soak
soak: $(STAMP) ## The long bars of chaos, 40 minutes at a time; results add up in out/soak.json
	@$(BIN)/python -m benchmarks.chaos.soak $(JSON_FLAG) $(ARGS)

.PHONY: fuzz
fuzz: $(STAMP) ## Fuzz what reads bytes from outside, a minute each (needs the extra fuzz)
	@$(BIN)/python -m benchmarks.fuzz $(JSON_FLAG) $(ARGS)

.PHONY: bench-mooncake
bench-mooncake: $(STAMP) ## A whole recorded hour of conversations: ten minutes of one core
	@$(BIN)/python -m benchmarks.network.mooncake $(JSON_FLAG) $(ARGS)

.PHONY: bench-ray
bench-ray: $(STAMP) ## Three hosts on this machine: tokens, times, clocks for 10 minutes, failures
	@$(BIN)/python -m benchmarks.ray $(JSON_FLAG) $(ARGS)

.PHONY: bench-peers
bench-peers: $(STAMP) ## Beside vLLM and llama.cpp (installs them first: minutes, network, 8 GB)
	@$(BIN)/python -m benchmarks.peers.setup
	@$(BIN)/python -m benchmarks.peers $(JSON_FLAG) $(ARGS)

##@ Tidy up

.PHONY: clean
clean: ## Remove the environment, caches and build leftovers
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis \
	  .import_linter_cache
	@find . -type d -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-zA-Z_-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Written last, so that a broken installation is tried again and a whole one never is.
$(STAMP): pyproject.toml constraints.txt
	@python="$(PYTHON)"; \
	enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if [ -n "$$python" ]; then \
	  "$$python" -c "$$enough" || { \
	    echo "PYTHON=$$python does not run, or is older than 3.11." >&2; exit 1; }; \
	else \
	  for candidate in python3.12 python3.11 python3.13 python3 python; do \
	    if command -v "$$candidate" >/dev/null && "$$candidate" -c "$$enough" 2>/dev/null; \
	    then python="$$candidate"; break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "No Python 3.11 or newer on the PATH. Install one (Debian: apt install" >&2; \
	    echo "python3.11-venv), or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; \
	    exit 1; \
	  fi; \
	fi; \
	if [ ! -x $(BIN)/python ]; then \
	  echo "Creating $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "$$python cannot create environments (Debian: apt install python3-venv)." >&2; \
	    exit 1; }; \
	fi
	@echo "Installing Perfuse and what it needs into $(VENV): once, a few minutes (torch is large)"
	@started=$$SECONDS; \
	$(BIN)/python -m pip install -qq --disable-pip-version-check --progress-bar off \
	  --constraint constraints.txt --editable '.[dev]'; \
	echo "Installed in $$((SECONDS - started)) s"
	@touch $@
