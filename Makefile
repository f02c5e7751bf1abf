# The two commands are `make demo` and `make test`; everything else here is a part of them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-analysis bench-fleet soak exhaustive build sandbox plugin peer gate-off prerequisites lint deny

CARGO ?= cargo
SANDBOX := target/sandbox/sandbox
PLUGIN := target/plugin/kubectl-argo-rollouts
GATE_OFF := target/gate-off/groundswell-agent
PEER := target/peer/rollouts-controller
PEER_FLAGS := --kubeconfig {kubeconfig} --qps 400 --burst 800 --leader-elect=false --metricsPort {port} --healthzPort {port}

# Tests wait for clusters more than they work, so two cores are no reason for two at a time.
export RUST_TEST_THREADS ?= $(shell n=$$(nproc); echo $$((n > 4 ? n : 4)))

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 22

demo: build ## the story, left up until Ctrl-C; EXIT=1 ends by itself, 0 only if it came out right
	target/debug/demo $(if $(EXIT),--exit) --dir target/demo

test: prerequisites sandbox plugin peer lint ## every test
	cd deploy/sandbox && go vet -trimpath ./... && go test -trimpath ./...
	$(MAKE) --no-print-directory gate-off
	$(CARGO) build --workspace
	$(CARGO) test --workspace --no-fail-fast

exhaustive: ## the small fleet, whole: 2 hubs, 3 clusters, 2 waves, 1 crash, in every order
	$(CARGO) run --release -p tests-sim --bin exhaustive

soak: ## the simulated fleet, seed after seed without an end, each twice; FROM=0
	$(CARGO) run --release -p tests-sim --bin sim -- --from $(or $(FROM),0)

bench: prerequisites sandbox ## the agent beside Argo Rollouts' controller: time, CPU, memory, requests; COUNT=1000
	$(MAKE) --no-print-directory peer || echo "the peer cannot be built: the benchmark goes on without it"
	$(CARGO) build --release -p agent -p tests-bench
	peer=(); [ ! -x $(PEER) ] || peer=(--peer '$(PEER) $(PEER_FLAGS)'); \
	  target/release/bench rollouts --count $(or $(COUNT),1000) "$${peer[@]}"

bench-analysis: prerequisites sandbox ## the agent with many AnalysisRuns: how late it measures, CPU, memory; RUNS=10000 SECONDS=120
	$(CARGO) build --release -p agent -p tests-bench
	target/release/bench analysis --runs $(or $(RUNS),10000) --seconds $(or $(SECONDS),120)

bench-fleet: prerequisites ## the hub with many agents: memory, decisions, re-sync, releases in waves; AGENTS=10000 RELEASES=100
	$(CARGO) build --release -p hub -p hub-cli -p tests-bench
	target/release/bench fleet --agents $(or $(AGENTS),10000) --releases $(or $(RELEASES),100)

build: prerequisites sandbox ## all programs
	$(CARGO) build --workspace

sandbox: prerequisites $(SANDBOX) ## the local clusters' program

# Go has a cache of its own, but linking Kubernetes takes a while. Tests and vet use the same flags: what they depend on
# is compiled once.
$(SANDBOX): $(shell find deploy/sandbox -name '*.go' -not -name '*_test.go') deploy/sandbox/go.mod deploy/sandbox/go.sum
	mkdir -p $(@D)
	cd deploy/sandbox && go build -trimpath -o ../../$@ .

plugin: prerequisites $(PLUGIN) ## the published kubectl plugin of Argo Rollouts, which tests drive the agent with

$(PLUGIN): tests/plugin/main.go tests/plugin/go.mod tests/plugin/go.sum
	mkdir -p $(@D)
	cd tests/plugin && go build -trimpath -o ../../$@ .

peer: prerequisites $(PEER) ## the published controller of Argo Rollouts, which tests and the benchmark run beside the agent

# Where it cannot be fetched the benchmark says so and compares with figures kept of it; the tests need it.
$(PEER): tests/peer/go.mod tests/peer/go.sum
	mkdir -p $(@D)
	cd tests/peer && go build -trimpath -o ../../$@ tool

# The agent with the gate check switched off, beside the real one: the story must fail with it.
gate-off:
	$(CARGO) build --workspace --features agent/gate-off --bin groundswell-agent
	mkdir -p $(dir $(GATE_OFF))
	cp target/debug/groundswell-agent $(GATE_OFF)

lint: ## format and clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

deny: ## licences, sources and bans of every dependency (installs cargo-deny if absent)
	$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny --no-default-features
	$(CARGO) deny --all-features check bans licenses sources

prerequisites: ## install from packages what is missing
	@deploy/install-prerequisites.sh
