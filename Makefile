# make help lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

export CGO_ENABLED := 0
TOOL := CGO_ENABLED=0 go tool -modfile=tools/go.mod
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unversioned)
LAB := go run ./e2e/lab/cmd/lab
FUZZTIME ?= 10s
UNIT_PACKAGES := gcc libc6-dev dnf rpm createrepo-c xfsprogs btrfs-progs dosfstools

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: agents ## build bin/rbdplay, with the agents for amd64 and arm64 in it
	go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/rbdplay ./cmd/rbdplay

.PHONY: agents
agents:
	@go run ./engine/agent/binaries/build

.PHONY: test
test: unit compat e2e ## all tests; what this machine cannot run is said

.PHONY: unit
unit: agents ## tests that need no lab, with the race detector
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s $(UNIT_PACKAGES) >/dev/null 2>&1; then
		echo "installing gcc, which the race detector needs, and programs that modules are tested with"
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $(UNIT_PACKAGES) >/dev/null
	fi
	if command -v gcc >/dev/null; then
		CGO_ENABLED=1 go test -race -timeout 15m $$(go list ./... | grep -v /e2e$$)
	else
		echo "left out: the race detector (there is no gcc, and no right to install it)"
		go test -timeout 15m $$(go list ./... | grep -v /e2e$$)
	fi

.PHONY: e2e
e2e: build ## tests on three real hosts (Debian 12, root)
	@if ! $(LAB) supported; then
		echo "left out: the tests on three real hosts (see the line above)"
		exit 0
	fi
	$(LAB) up
	trap '$(LAB) down' EXIT
	RBDPLAY_E2E=1 go test -count=1 -timeout 40m -v ./e2e

.PHONY: compat
compat: build ## the same playbooks with rbdplay and ansible-core, compared (Debian)
	@if ! command -v ansible-playbook >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "installing ansible-core, to compare with"
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends ansible-core >/dev/null
	fi
	if ! command -v ansible-playbook >/dev/null; then
		echo "left out: the comparison with ansible-core (it is not there, and there is no right to install it)"
		exit 0
	fi
	RBDPLAY_COMPAT=1 go test -count=1 -timeout 20m -parallel 2 ./e2e/compat

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
bench: build ## rbdplay beside Ansible and mitogen on the lab; writes docs/benchmarks.md (Debian 12, root)
	go run ./e2e/bench

.PHONY: bench-short
bench-short: build ## the same for every day: fewer parts, no page
	go run ./e2e/bench -short

.PHONY: bench-go
bench-go: ## Go benchmarks of the hot paths
	go test -run '^$$' -bench . -benchmem ./engine/... ./modules/...

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
lab-down: ## leave nothing of the lab running, also after a crash
	@$(LAB) down

.PHONY: format
format: ## gofumpt all files
	$(TOOL) gofumpt -w $$(git ls-files '*.go')
