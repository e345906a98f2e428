# `make` builds both programs in place; it needs only Go. `make help` lists the
# targets.

SHELL   := /bin/sh
VERSION := $(shell git describe --tags --match 'v[0-9]*' --always --dirty 2>/dev/null || echo dev)
STAMP   := -X scout/cmd/internal/version.stamp=$(VERSION)
BUILD   := go build -trimpath -ldflags "$(STAMP)"
PROGRAMS := scout scoutmaster scoutctl

# Everything that is built for users depends on the commit alone. The times in it are
# that of the commit.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

# The version is set above, so Go does not have to run git, which refuses to read
# another user's checkout.
export GOFLAGS += -buildvcs=false

# Before a command: Go builds for this machine, also while GOARCH is another one.
HOST := GOOS= GOARCH=

# Each tool is pinned in a separate module file in tools/.
BUF       := go tool -modfile=tools/buf/go.mod buf
LINT      := go tool -modfile=tools/lint/go.mod golangci-lint
GOFUMPT   := go tool -modfile=tools/lint/go.mod gofumpt
PACK      := $(HOST) GOFLAGS=-trimpath go tool -modfile=tools/pack/go.mod
VULNCHECK := go tool -modfile=tools/lint/go.mod govulncheck

# The version that `make breaking` compares with, such as AGAINST=v1.0.0.
AGAINST ?= main

# How long each fuzz target runs.
FUZZTIME ?= 1m

.DEFAULT_GOAL := build

.PHONY: build
build: ## build the programs (the default)
	$(BUILD) -o cmd/scout/scout ./cmd/scout
	$(BUILD) -o cmd/scoutmaster/scoutmaster ./cmd/scoutmaster
	$(BUILD) -o cmd/scoutctl/scoutctl ./cmd/scoutctl

.PHONY: test
test: ## vet, and run all tests with the race detector
	go vet ./...
	go test -race ./...

.PHONY: test-long
test-long: ## run the tests that take minutes too: a million files, mutated programs
	go test -race -timeout 30m ./cmd/internal/e2e -long
	go test -timeout 60m ./cmd/internal/chaos -long

# Each minute has its own seed: SEED and TIME=1m repeat it.
.PHONY: chaos
chaos: ## inject random faults and check every list: make chaos [TIME=1h] [SEED=n]
	go run ./cmd/internal/chaos -time $(or $(TIME),1h) $(if $(SEED),-seed $(SEED))

.PHONY: load
load: ## measure 10,000 scouts on one master, and its restart, and on three
	go test ./cmd/internal/e2e -run '^Test(Fleet)?Load$$' -v -long -scouts $(or $(SCOUTS),10000) -timeout 10m

.PHONY: hostile
hostile: ## measure the cost of hostile scouts and consumers
	go test ./cmd/internal/e2e -run '^TestHostility$$' -v -long -timeout 10m

.PHONY: fuzz
fuzz: ## run every fuzz target of the tree: make fuzz [FUZZTIME=1m]
	@FUZZTIME=$(FUZZTIME) tools/fuzz

.PHONY: demo
demo: build ## show a scoutmaster and a scout at work: make demo [DIR=/some/directory]
	go run ./cmd/internal/demo $(DIR)

.PHONY: demo-fleet
demo-fleet: build ## show three scoutmasters with one list, over three NATS servers, and kill one
	go run ./cmd/internal/demo -fleet

# With ROWS only some rows run, and docs/benchmarks.md stays as it is.
.PHONY: bench
bench: ## measure speed and memory beside references: make bench [ROWS=regexp]
	go run ./cmd/internal/bench -install $(if $(ROWS),-rows '$(ROWS)',-out docs/benchmarks.md)

.PHONY: bench-short
bench-short: ## run every row of the benchmark in small sizes, about a minute
	go run ./cmd/internal/bench -short

# The system and architecture of the programs that are built for users; GOOS and
# GOARCH in the environment work too.
TARGETOS   ?= $(shell go env GOOS)
TARGETARCH ?= $(shell go env GOARCH)
PLATFORM    = dist/$(TARGETOS)-$(TARGETARCH)

# Static programs without symbols run anywhere, even in an empty image.
.PHONY: binaries
binaries: ## build static programs: make binaries [TARGETOS=linux] [TARGETARCH=arm64]
	CGO_ENABLED=0 GOOS=$(TARGETOS) GOARCH=$(TARGETARCH) \
		go build -trimpath -ldflags "-s -w $(STAMP)" -o $(PLATFORM)/ $(addprefix ./cmd/,$(PROGRAMS))

# Programs for this machine write them, whatever TARGETARCH is.
.PHONY: man
man: ## write manual pages and shell completions to dist/
	mkdir -p dist/man dist/completion
	$(HOST) $(BUILD) -o dist/host/ $(addprefix ./cmd/,$(PROGRAMS))
	@for p in $(PROGRAMS); do \
		dist/host/$$p man >dist/man/$$p.$$(test $$p = scoutctl && echo 1 || echo 8) && \
		dist/host/$$p completion bash >dist/completion/$$p.bash && \
		dist/host/$$p completion zsh >dist/completion/_$$p && \
		dist/host/$$p completion fish >dist/completion/$$p.fish || exit 1; \
	done; ls dist/man/* dist/completion/*

# The inventory does not have the checksum of the tool that wrote it, which depends on
# the machine.
.PHONY: sbom
sbom: binaries ## list the modules in each program (CycloneDX), and print their licences
	@for p in $(PROGRAMS); do \
		$(PACK) cyclonedx-gomod bin -json -noserial -notimestamp -version $(VERSION) $(PLATFORM)/$$p | \
			sed '/^        "hashes": /,/^        \]/d' >$(PLATFORM)/$$p.cdx.json && test -s $(PLATFORM)/$$p.cdx.json && \
		tools/notices $(PLATFORM)/$$p >$(PLATFORM)/$$p.notices || exit 1; \
	done; ls $(PLATFORM)

PACKAGES ?= dist/packages

# Who answers for the packages. There is no public address yet.
MAINTAINER ?= Scout maintainers <maintainers@scout.invalid>

.PHONY: packages
packages: TARGETOS = linux
packages: sbom man ## build deb and rpm packages: make packages [TARGETARCH=arm64]
	@PACK="$(PACK)" MAINTAINER="$(MAINTAINER)" TARGETARCH=$(TARGETARCH) \
		tools/packages $$(tools/package-version $(VERSION)) $(PACKAGES)
	ls $(PACKAGES)

.PHONY: packages-check
packages-check: packages ## check the packages, and install, upgrade and remove them in a container
	rm -rf dist/check && mkdir -p dist/check/new
	cp dist/packages/*[-_]$$(tools/package-version $(VERSION) | tr - '~')-* dist/check/new
	@PACK="$(PACK)" MAINTAINER="$(MAINTAINER)" TARGETARCH=$(TARGETARCH) tools/packages 0.0.0-0 dist/check/old
	tools/packages-check dist/check/new dist/check/old

# What a release has programs for; those for Linux come as packages too.
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

.PHONY: artifacts
artifacts: man ## build everything that a release has in dist/release
	rm -rf dist/release dist/archive
	@for platform in $(PLATFORMS); do \
		os=$${platform%/*}; arch=$${platform#*/}; target=sbom; \
		test $$os != linux || target=packages; \
		$(MAKE) $$target TARGETOS=$$os TARGETARCH=$$arch VERSION=$(VERSION) PACKAGES=dist/release && \
		tools/archive $(VERSION) $$os-$$arch dist/release || exit 1; \
	done
	cd dist/release && sha256sum -- * >SHA256SUMS

.PHONY: release-check
release-check: ## check what is in dist/release
	@tools/release-check $(VERSION) dist/release $(PLATFORMS)

.PHONY: release
release: ## check the commit and build its release: make release VERSION=v1.2.3
	@tools/releasable $(VERSION)
	$(MAKE) check
	$(MAKE) artifacts VERSION=$(VERSION)
	$(MAKE) release-check VERSION=$(VERSION)
	tools/release-notes $(VERSION) >dist/release-notes.md
	@echo "publish dist/release with dist/release-notes.md, and tag: git tag -a $(VERSION)"

.PHONY: reproducible
reproducible: ## check that the same commit gives the same bytes: programs, packages, archives
	tools/reproducible

# What builds images: docker, podman or buildah.
ENGINE ?= $(firstword $(foreach e,docker podman buildah,$(if $(shell command -v $(e)),$(e))))

.PHONY: images
images: ## build images from scratch: make images [ENGINE=podman] [VERSION=v1.2.3]
	@test -n "$(ENGINE)" || { echo "install docker, podman or buildah, or name another with ENGINE=" >&2; exit 1; }
	@for p in $(PROGRAMS); do \
		$(ENGINE) build -f packaging/Dockerfile --target $$p --build-arg VERSION=$(VERSION) -t $$p:$(VERSION) -t $$p:latest . || exit 1; \
	done

.PHONY: images-check
images-check: ## build the images without a network, with buildah, and check them
	@tools/images-check $(VERSION)

# Go's cache of results does not see the files that the test reads.
.PHONY: manifests
manifests: ## check the descriptions for Kubernetes, Compose, Grafana and the workflow
	cd tools/manifests && go test -count=1 ./...

.PHONY: proto
proto: ## generate the Go code of the protocol
	$(BUF) generate

.PHONY: breaking
breaking: ## check that the protocol is compatible with the version AGAINST
	$(BUF) breaking --against '.git#ref=$(AGAINST)'

.PHONY: docs
docs: ## write the generated sections of the documents
	go test ./cmd/scout ./cmd/scoutmaster ./cmd/internal/docs -run 'TestDocs|TestLogs|TestMetrics' -p 1 -update

.PHONY: fmt
fmt: ## format all Go code
	$(GOFUMPT) -w .

.PHONY: lint
lint: format lint-go lint-proto vulnerabilities ## check formats, run linters, find known vulnerabilities

.PHONY: format
format: ## check the format of all Go code
	@diff=$$($(GOFUMPT) -d .) && test -z "$$diff" || { echo "$$diff"; echo "not formatted: run make fmt" >&2; exit 1; }

.PHONY: lint-go
lint-go:
	$(LINT) run --allow-serial-runners ./...

.PHONY: lint-proto
lint-proto:
	$(BUF) lint

.PHONY: vulnerabilities
vulnerabilities:
	@VULNCHECK="$(VULNCHECK)" tools/vulnerabilities

.PHONY: check
check: prove test packages-check images-check reproducible bench-short ## run everything that CI runs
	$(MAKE) fuzz FUZZTIME=3s

.PHONY: prove
prove: generated tidy versions lint cross manifests ## run everything that CI runs, without the tests

.PHONY: generated
generated: ## check that generated code and documents are current
	@BUF="$(BUF)" tools/generated
	go test ./cmd/scout ./cmd/scoutmaster ./cmd/internal/docs -run 'TestDocs|TestLogs|TestMetrics'

.PHONY: tidy
tidy: ## check that the module files are tidy
	go mod tidy -diff
	cd tools/buf && go mod tidy -diff
	cd tools/lint && go mod tidy -diff
	cd tools/manifests && go mod tidy -diff
	cd tools/nats && go mod tidy -diff
	cd tools/pack && go mod tidy -diff
	cd tools/workflows && go mod tidy -diff

.PHONY: versions
versions: ## check the versions of the four fixed packages
	@tools/versions

# Only the packages, not the tests, which may need Linux.
.PHONY: cross
cross: ## compile for other systems
	GOOS=darwin GOARCH=arm64 go build ./...

.PHONY: clean
clean: ## remove everything that was built
	rm -rf cmd/scout/scout cmd/scoutmaster/scoutmaster cmd/scoutctl/scoutctl dist

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
