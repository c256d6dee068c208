# `make run` and `make test` do everything on a fresh machine; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Models, tools and (in CI) the build live outside the checkout.
export TEXTNLP_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/textnlp
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
MODEL ?= $(TEXTNLP_CACHE)/models/SmolLM2-135M-Instruct.Q4_1.gguf
# One set of crates and features for every build: cargo would compile the dependencies again for another.
ALL := --workspace --features textnlp-engine/candle
FUZZ_SECONDS ?= 600

.PHONY: help run test check fmt lint deny unit model build bench goldens generate fuzz check-cuda miri cluster cluster-down

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

run: model build ## the main job: a real model, 64 airports, one validated dataset in ./airport-tickets
	$(TARGET)/debug/textnlp run examples/airport-tickets/base --model "$(MODEL)" --output airport-tickets

test: lint deny unit manifests sbom docs-check e2e ## format, lint, licences, unit and integration tests, end to end on a real Kubernetes (root)

model: ## fetches the example's model into $TEXTNLP_CACHE and checks its digest
	@scripts/fetch-model.sh

build: ## builds the command line
	$(CARGO) build $(ALL)

cluster: model ## a Kubernetes cluster on this machine (root), the operator on it; says what to source
	$(CARGO) build $(ALL)
	tests/cluster/deploy

cluster-down: ## ends the cluster and leaves nothing behind
	tests/cluster/cluster down

fmt: ## formats the code
	$(CARGO) fmt --all

lint: ## format and clippy, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(ALL) --all-targets --test e2e --test release --test rights -- -D warnings

deny: ## licences, banned crates and sources of every dependency
	@scripts/cargo-tool.sh cargo-deny 0.20.2 deny check --hide-inclusion-graph licenses bans sources

unit: model ## all tests of the workspace
	$(CARGO) test $(ALL)

.PHONY: e2e
e2e: model build ## the tests on a real Kubernetes, which it starts (root); E2E_CLUSTER=current: on the one of KUBECONFIG
	scripts/e2e.sh

bench: model ## decode and prefill rates, and a job over HTTP, beside llama.cpp (built once: 6 minutes); then the example job
	scripts/bench.sh

.PHONY: bench-serve soak
bench-serve: model ## the server beside llama-server: 1, 8 and 32 clients that stream chats
	scripts/bench-serve.sh

soak: model ## all that clients do to a server, right and wrong, for MINUTES (30): nothing may fail or stay behind
	scripts/soak.sh

.PHONY: clients
clients: model build ## stock clients of OpenAI's API against the server: openai for Python and Node, LangChain, litellm (needs Node)
	scripts/test-clients.sh

.PHONY: openapi-check
openapi-check: model build ## schemathesis over /openapi.json with a real model: no 5xx, no answer that it does not describe
	scripts/test-openapi.sh

.PHONY: docs docs-check docs-cluster
docs: ## builds the documentation into target/book, and checks its links
	python3 -B -m unittest discover --start-directory scripts/docs
	scripts/docs/links.py
	CARGO_PROFILE_DEV_DEBUG=0 INSTALL_FLAGS="--debug --no-default-features --features search" scripts/cargo-tool.sh mdbook 0.5.4 build
	scripts/docs/built.py target/book

docs-check: model build docs ## the same; the programs' reference is fresh, the tutorial's commands do what it says (without a cluster)
	scripts/docs/cli.py --check $(TARGET)/debug
	scripts/docs/tutorial.py docs/tutorial/laptop.md

docs-cluster: model build ## the tutorial's commands on the cluster that KUBECONFIG names, as `make cluster` leaves it
	scripts/docs/tutorial.py docs/tutorial/laptop.md docs/tutorial/cluster.md

.PHONY: manifests
manifests: ## tests of the chart, of deploy/ (overlays, Argo CD, Flux, Compose), health scripts, kstatus, rules, dashboards, workflows (needs Go)
	scripts/test-manifests.sh

.PHONY: observability
observability: model build ## a real Prometheus scrapes the cluster (root): every panel and recording must have data; PICTURES=1 draws them
	scripts/test-observability.sh $(if $(PICTURES),--pictures)

.PHONY: terraform-check
terraform-check: ## terraform/ with Terraform (which must be there) and tflint: validated, tested with mocked providers, linted
	scripts/check-terraform.sh

generate: ## writes the generated files again: the CRDs, openapi.json, what is made from them and from the chart, reference pages
	$(CARGO) build $(ALL) --bins
	$(TARGET)/debug/crdgen
	$(TARGET)/debug/openapigen
	scripts/generate-manifests.sh
	scripts/docs/cli.py $(TARGET)/debug

.PHONY: bench-operator
bench-operator: ## the operator with JOBS (1000) jobs at once, beside a plain client; its memory with HELD (10000) resources (root)
	scripts/bench-operator.sh

.PHONY: bench-validation compare-metrics
bench-validation: ## the metrics' speed beside their reference implementations, and its growth up to a million rows
	scripts/bench-validation.sh

compare-metrics: ## the metrics against their reference implementations on PAIRS (5000) new texts
	scripts/compare-metrics.sh

goldens: ## writes the golden values again from their oracles (a Python environment with torch: large)
	scripts/make-goldens.sh

.PHONY: audit sbom bundle test-bundle check-reproducible
audit: ## advisories about what we depend on (fetches RustSec's database)
	@scripts/cargo-tool.sh cargo-deny 0.20.2 deny check --hide-inclusion-graph advisories

sbom: ## what is in the images (CycloneDX), checked against its schema
	scripts/test-sbom.sh

bundle: ## all that an installation without a network needs, in one archive (PROGRAMS: a directory of built ones; VERSION, MODEL, OUTPUT)
	@scripts/bundle.sh

test-bundle: build ## that archive, from a clean clone to upgrade, rollback and uninstallation on the test cluster (root)
	scripts/test-bundle.sh

check-reproducible: ## builds the images twice and compares their bytes (PROFILE=dev, PACKAGES=textnlp-operator: quicker)
	scripts/check-reproducible.sh

fuzz: ## every fuzz target for FUZZ_SECONDS (600)
	scripts/fuzz.sh $(FUZZ_SECONDS)

check-cuda: ## compiles the CUDA implementation with a toolkit from Python packages (1.2 GB)
	scripts/check-cuda.sh
