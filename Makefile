# make help lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

export CGO_ENABLED := 0
# As for what is shipped, so that nothing is compiled twice.
export GOFLAGS := $(filter-out -trimpath,$(GOFLAGS)) -trimpath
TOOL := CGO_ENABLED=0 go tool -modfile=tools/go.mod
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unversioned)
LAB := go run ./e2e/lab/cmd/lab
TEST := go test -vet=off# which is lint's part
FUZZTIME ?= 10s
COUNT ?= 1
PACKAGES := gcc libc6-dev dnf rpm createrepo-c xfsprogs btrfs-progs dosfstools ansible-core

# Tests on hosts wait for much of their time, so there are two labs, beside each
# other. These tests are the second's; the first has all others. Both parts should
# take about the same time.
SECOND_LAB := $(or $(RBDPLAY_LAB),main)-2
SECOND_PART := ^(TestBaseInstall|TestFailedMoveOfTheData|TestInterruptedRuns|TestPrediction)$$
# Takes as long as all others, so it is run on its own: make e2e-more.
MORE_PART := ^TestMoreNodes$$

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: agents ## build bin/rbdplay, with the agents for amd64 and arm64 in it
	go build -ldflags "-s -w -X main.version=$(VERSION)" -o bin/rbdplay ./cmd/rbdplay

.PHONY: agents
agents:
	@go run ./engine/agent/binaries/build

.PHONY: test
test: unit ## all tests but e2e-more; what this machine cannot run is said
	@$(MAKE) --no-print-directory -j3 compat e2e-first e2e-second

.PHONY: packages
packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s $(PACKAGES) >/dev/null 2>&1; then
		echo "installing gcc, which the race detector needs, programs that modules are tested with, and ansible-core, to compare with"
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $(PACKAGES) >/dev/null
	fi

.PHONY: unit
unit: agents packages ## tests that need no lab, with the race detector
	@if command -v gcc >/dev/null; then
		CGO_ENABLED=1 $(TEST) -race -timeout 15m $$(go list ./... | grep -v /e2e$$)
	else
		echo "left out: the race detector (there is no gcc, and no right to install it)"
		$(TEST) -timeout 15m $$(go list ./... | grep -v /e2e$$)
	fi

.PHONY: e2e
e2e: ## tests on three real hosts (Debian 12, root)
	@$(MAKE) --no-print-directory -j2 e2e-first e2e-second

.PHONY: e2e-first e2e-second e2e-more
e2e-first: PART := -skip '$(SECOND_PART)|$(MORE_PART)'
e2e-second: PART := -run '$(SECOND_PART)'
e2e-more: PART := -run '$(MORE_PART)'
e2e-second: export RBDPLAY_LAB := $(SECOND_LAB)
e2e-second: export RBDPLAY_LAB_OUT :=
e2e-more: ## compute nodes added, replaced and taken back: a test of 12 minutes that make test leaves out
e2e-first e2e-second e2e-more: build packages
	@if ! $(LAB) supported; then
		echo "left out: the tests on three real hosts (see the line above)"
		exit 0
	fi
	trap '$(LAB) down' EXIT
	$(LAB) up
	RBDPLAY_E2E=1 $(TEST) -count=1 -timeout 40m -v $(PART) ./e2e 2>&1 | sed -u 's/^/$@: /'

# Nicely, since the tests on hosts, which run at the same time, have limits.
.PHONY: compat
compat: build packages ## the same playbooks with rbdplay and ansible-core, compared (Debian)
	@if ! command -v ansible-playbook >/dev/null; then
		echo "left out: the comparison with ansible-core (it is not there, and there is no right to install it)"
		exit 0
	fi
	RBDPLAY_COMPAT=1 nice $(TEST) -count=1 -timeout 20m -parallel 2 ./e2e/compat

.PHONY: lint
lint: ## gofumpt, golangci-lint and, where its database can be reached, govulncheck
	@files=$$($(TOOL) gofumpt -l $$(git ls-files '*.go'))
	if [ -n "$$files" ]; then echo "gofumpt would change:"; echo "$$files"; exit 1; fi
	$(TOOL) golangci-lint run --timeout 10m ./...
	if out=$$($(TOOL) govulncheck ./... 2>&1); then
		echo "govulncheck: nothing found"
	elif grep -qiE 'dial tcp|no such host|connection refused|Forbidden|proxyconnect|i/o timeout|fetching vulnerabilities' <<<"$$out"; then
		echo "left out: govulncheck (its database cannot be reached from here)"
	else
		echo "$$out"; exit 1
	fi

.PHONY: fuzz
fuzz: ## each fuzz test for FUZZTIME (10s)
	@for package in $$(go list ./...); do
		for target in $$(go test -list '^Fuzz' "$$package" 2>/dev/null | grep '^Fuzz' || true); do
			echo "$$package $$target"
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"
		done
	done

.PHONY: bench
bench: build ## rbdplay beside its peers on the lab; writes docs/benchmarks.md; PARTS=ad for some parts (Debian 12, root)
	go run ./e2e/bench -only '$(PARTS)'

.PHONY: bench-short
bench-short: build ## the same for every day: without the peers, no page
	go run ./e2e/bench -short

.PHONY: bench-go
bench-go: ## Go benchmarks of the hot paths, COUNT (1) times; benchstat reads what they print
	go test -run '^$$' -bench . -benchmem -count $(COUNT) ./engine/... ./modules/...

.PHONY: docs
docs: build ## write docs/modules from the code
	bin/rbdplay doc --write docs/modules

.PHONY: demo
demo: build ## the main job on a lab of three hosts that it sets up itself (Debian 12, root)
	@go run ./e2e/demo

.PHONY: lab-up
lab-up: ## boot the lab and write its inventory, .lab/cluster.yml
	@$(LAB) up

.PHONY: lab-reset
lab-reset: ## put the lab back to the installed cluster
	@$(LAB) reset

.PHONY: lab-down
lab-down: ## leave nothing of the lab running, nor of the tests' second one, also after a crash
	@$(LAB) down
	RBDPLAY_LAB=$(SECOND_LAB) RBDPLAY_LAB_OUT= $(LAB) down

.PHONY: format
format: ## gofumpt all files
	$(TOOL) gofumpt -w $$(git ls-files '*.go')
