# The two commands: `make serve` and `make test`. Both install what is missing first; `make help` lists the rest.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DEFAULT_GOAL := help

# RocksDB takes many minutes to compile. With ccache that happens once, for all checkouts and profiles: the directory that
# a compiler runs in says nothing about its output here.
export CC := ccache cc
export CXX := ccache c++
export CCACHE_NOHASHDIR := 1

PORT ?= 6379
DIR ?= ./data
ROUNDS ?= 100
MINUTES ?= 60
SEEDS ?= 2000
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
FUZZ := --manifest-path fuzz/Cargo.toml --no-default-features --target-dir $(TARGET_DIR)
# The server and what tests it as a black box are compiled together, so that they share everything they depend on.
TESTED := --package bulkhead --package bulkhead-chaos

## The two commands

.PHONY: serve
serve: build-deps ## Build, and serve on port 6379 from ./data (PORT=7000 DIR=/srv/bulkhead)
	cargo build --release
	mkdir -p "$(DIR)"
	exec $(TARGET_DIR)/release/bulkhead-server --port $(PORT) --dir "$(DIR)"

# What needs no RocksDB comes first: it fails within minutes, even where RocksDB has not been compiled yet.
.PHONY: test
test: deps fmt fuzz loom sim sim-fresh lint unit clients faults bench-smoke ## Everything that is quick enough for every change
	@echo "All good."

## The parts of `make test`

.PHONY: fmt
fmt: ## The formatting
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check

.PHONY: fuzz
fuzz: ## The fuzz targets, over a fixed number of inputs each
	cargo test $(FUZZ)

.PHONY: loom
loom: ## Every interleaving of the reply slot
	RUSTFLAGS="--cfg loom" cargo test --package bulkhead-loom --release --target-dir $(TARGET_DIR)/loom

# Repeatability first: without it a seed proves nothing. Then what has failed before, then seeds that no earlier commit ran.
.PHONY: sim
sim: ## The whole server in deterministic simulation: repeatability, what failed before, and 96 seeds
	cargo test --profile sim --package bulkhead-sim

.PHONY: sim-fresh
sim-fresh: ## 2,000 seeds that no earlier commit ran, chosen by the commit (SEEDS=2000)
	cargo sim run --seeds $(SEEDS) --from $$((16#$$(git rev-parse --short=8 HEAD)))

.PHONY: lint
lint: build-deps ## Clippy, without a single warning
	cargo clippy $(TESTED) --all-targets -- --deny warnings
	cargo clippy --package bulkhead-sim --package bulkhead-loom --package bulkhead-redis-rs --features bulkhead-sim/armed --all-targets -- --deny warnings
	cargo clippy $(FUZZ) --all-targets -- --deny warnings

.PHONY: unit
unit: deps ## Unit, property, protocol, differential, persistence and kill -9 tests
	cargo test $(TESTED)

# Compiled together with what `make unit` compiles, so that nothing is compiled twice.
.PHONY: clients
clients: deps ## Client libraries and job queues, unmodified: redis-py, ioredis, node-redis, redis-rs, arq, RQ
	cargo build $(TESTED)
	scripts/clients.sh $(TARGET_DIR)/debug/bulkhead-server

.PHONY: faults
faults: deps ## Faults at every boundary of the real server, by failpoints
	cargo test --package bulkhead --features failpoints --test failpoints --test probes

.PHONY: bench-smoke
bench-smoke: deps ## Whether the benchmark still works, with tiny numbers
	cargo test $(TESTED) --bench side_by_side

## Longer, and on demand

.PHONY: compat-long
compat-long: deps ## The differential test for an hour (MINUTES=60); what disagrees is kept in results/compat.txt
	COMPAT_MINUTES=$(MINUTES) COMPAT_SEED=$$(date +%s)000 COMPAT_KEEP=$(CURDIR)/results/compat.txt \
		cargo test --package bulkhead --test compat -- --nocapture generated_

.PHONY: bench
bench: deps ## Bulkhead beside redis-server, and two runtimes beside one: a table of ratios
	scripts/bench.sh

.PHONY: bench-metrics
bench-metrics: deps ## What the metrics cost: a server beside one that counts and times nothing
	cargo build --release --features unmeasured
	cp $(TARGET_DIR)/release/bulkhead-server $(TARGET_DIR)/release/bulkhead-unmeasured
	cargo build --release
	scripts/metrics-cost.py $(TARGET_DIR)/release/bulkhead-server $(TARGET_DIR)/release/bulkhead-unmeasured

.PHONY: bench-stall
bench-stall: deps ## What is answered while the disk hangs or RocksDB stops writes: results/stall.md and its plots
	cargo build --release $(TESTED)
	mkdir -p results
	$(TARGET_DIR)/release/bulkhead-chaos stall --out results

.PHONY: chaos
chaos: build-deps ## kill -9 under load, 100 rounds for each appendfsync (ROUNDS=1000); a minute of overload
	cargo build --release $(TESTED)
	for fsync in always everysec no; do
		$(TARGET_DIR)/release/bulkhead-chaos kill9 --rounds $(ROUNDS) --appendfsync $$fsync
	done
	$(TARGET_DIR)/release/bulkhead-chaos ceiling

.PHONY: sim-run
sim-run: ## A simulation campaign (MINUTES=60)
	cargo sim run --minutes $(MINUTES) --from $$(date +%s)000000 --coverage

.PHONY: sim-strength
sim-strength: ## How many seeds it takes to notice each planted bug: the table in sim/README.md
	cargo run --profile sim --package bulkhead-sim --features planted-bugs -- strength --readme sim/README.md

.PHONY: sim-rocks
sim-rocks: build-deps ## A few simulated runs on RocksDB itself, compared with the same runs on the model of a disk
	cargo test --profile sim --package bulkhead-sim --features rocks --test rocks

.PHONY: sim-armed
sim-armed: ## What `cargo sim plan --as-failpoints` prints, on the real server
	cargo build --no-default-features --features failpoints --bin bulkhead-server
	BULKHEAD_SERVER=$$PWD/$${CARGO_TARGET_DIR:-target}/debug/bulkhead-server cargo test --profile sim --package bulkhead-sim --features armed --test armed

.PHONY: deny
deny: ## Licences, sources and banned crates of all dependencies (installs cargo-deny)
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check bans licenses sources

.PHONY: page
page: ## The status page in headless Chromium, and its pictures in docs/ (installs chromium)
	@scripts/deps.sh page
	cargo build --no-default-features --features failpoints
	scripts/status-page.py $(TARGET_DIR)/debug/bulkhead-server docs

## This machine

.PHONY: deps
deps: ## Install what building and testing need
	@scripts/deps.sh test

.PHONY: build-deps
build-deps: ## Install what building needs
	@scripts/deps.sh build

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^## / { print "\n" substr($$0, 4) } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
