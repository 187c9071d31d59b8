# Everything that is built, checked and measured here. `make help` lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Nested modules stand outside ./...; loops go over all of them.
MODULES := . example-game bench
# -race needs a C compiler; without one the tests run without it and say so.
CC_FOUND := $(shell command -v $${CC:-gcc} 2>/dev/null || command -v cc 2>/dev/null)
RACE := $(if $(CC_FOUND),-race,)
TEST_TIMEOUT ?= 10m
FUZZ_TIME ?= 60s
STATICCHECK := go tool staticcheck

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: build
build: ## Compile everything, also for the systems that are not Linux
	@set -e; for m in $(MODULES); do echo "build $$m"; go -C $$m build ./...; done
	@set -e; for t in darwin/arm64 windows/amd64 linux/arm64; do echo "build $$t"; \
	  GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 go build ./... ; \
	  GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 go -C example-game build ./... ; done

.PHONY: generate
generate: bin/ffgen ## Rewrite the generated files of the vocabulary, the example and the bench
	go generate ./idl/...
	cd example-game && ../bin/ffgen generate
	cd bench && ../bin/ffgen generate

.PHONY: check
check: bin/ffgen ## Fail when a generated file is stale
	cd example-game && ../bin/ffgen check
	cd bench && ../bin/ffgen check

.PHONY: bin/ffgen
bin/ffgen:
	go build -o bin/ffgen ./cmd/ffgen

.PHONY: lint
lint: ## gofmt, go vet and staticcheck
	@bad=$$(git ls-files '*.go' | xargs -r gofmt -l); if [ -n "$$bad" ]; then echo "not gofmt-ed:"; echo "$$bad"; exit 1; fi
	@set -e; for m in $(MODULES); do echo "vet $$m"; go -C $$m vet ./...; done
	@set -e; root=$$PWD; go build -o bin/staticcheck honnef.co/go/tools/cmd/staticcheck; \
	  for m in $(MODULES); do echo "staticcheck $$m"; (cd $$m && $$root/bin/staticcheck ./...); done

.PHONY: test
test: deps ## Run all tests, installing what they need where that is possible
ifeq ($(RACE),)
	@echo "no C compiler: tests run without -race"
endif
	@set -e; for m in . example-game; do echo "test $$m"; go -C $$m test $(RACE) -timeout $(TEST_TIMEOUT) ./...; done
	go -C bench vet ./...

.PHONY: deps
deps: ## Install, or name, the programs that tests need
	@scripts/deps.sh

.PHONY: fuzz
fuzz: ## Run every fuzz target, FUZZ_TIME each
	@FUZZ_TIME=$(FUZZ_TIME) scripts/fuzz.sh

.PHONY: bench
bench: ## Print ratios against the physical limits and the peers, in one run
	go -C bench run . $(BENCH_ARGS)

TORTURE_KILLS ?= 50
.PHONY: torture
torture: deps ## Kill, cut and pause everything under cached tables for minutes, and compare; TORTURE_SEED=N repeats
	FIREFLY_TORTURE_KILLS=$(TORTURE_KILLS) FIREFLY_TORTURE_SEED=$(TORTURE_SEED) \
	  go test $(RACE) -count=1 -timeout 40m -v -run '^TestTorture$$' ./runtime/table/torture

.PHONY: bench-tables
bench-tables: deps ## Print what cached tables cost, against Redis and MariaDB asked directly
	go -C bench run ./tables $(BENCH_ARGS)

.PHONY: ci
ci: build lint check test ## What every change must pass

.PHONY: nightly
nightly: ci fuzz torture bench bench-tables ## The long forms
	FIREFLY_NIGHTLY=1 go test $(RACE) -count=1 -timeout 30m -run '^(TestCase20|TestLinearizable)$$' ./runtime/table/writeback
	FIREFLY_NIGHTLY=1 go test -count=1 -timeout 3h -run '^(TestCase25|TestCase26)$$' ./runtime/table/sqlstore ./runtime/table/writeback
