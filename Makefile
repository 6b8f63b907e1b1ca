# `make help` lists the targets. `make test` needs Go alone; `make check` is everything and installs what it needs on Debian.

GO     ?= go
BUILD  := build
# The tools of the checks, by version. They run from Go's module cache; nothing is installed.
GOFUMPT := $(GO) run mvdan.cc/gofumpt@v0.12.0
LINT    := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Build tags of tests that need more than Go: Node and Python, a mail server, nginx and Radicale, PostgreSQL. In the nested modules: a browser
# (e2e), the long build of xcaddy.json (xbuild), a Debian of its own (packages).
TAGS        := interop,mailservers,apps,postgres
NESTED_TAGS := e2e,xbuild,packages

# The packages whose suites also run over the second engine: the first in each check, the others, which take minutes, in `make postgres`.
ON_POSTGRES      := ./internal/accounts ./internal/gate ./internal/limit ./internal/machinetoken ./internal/outbox ./internal/session
ON_POSTGRES_LONG := ./internal/flow ./internal/web

# The modules below the root's, which ./... does not reach. SQLite takes a minute to compile, for the benchmark alone: PEERS is looked at
# without cgo.
NESTED := cmd/packages cmd/xbuild examples/mailer internal/e2e
PEERS  := internal/bench/peers

# Each process under the race detector sleeps a second before it exits, for what other threads may still report: with hundreds of commands and
# restarts that is minutes, and what they do has ended before.
export GORACE ?= atexit_sleep_ms=0

# The version of the packages, such as 0.2.0; empty for the commit's.
VERSION ?=

# More flags for go test, such as TESTFLAGS=-v.
TESTFLAGS ?=

# Flags of the benchmark: -runs <n>, -short, -big, -only <row>,<row>, -list, -profile <file>, -dir <directory>.
BENCH ?=

# Flags of the mutants: -only <word>, -quick, -again, -fresh. The outcomes are kept in build/mutants.json.
MUTANTS ?=

# How long each fuzz target runs, how many rounds of kill -9 the engine and the gate go through, how many reloads are compared
# with bare Caddy, how many sign-ups are never finished, and how many configurations are composed, from which seed, and
# how often each thing is ended on three nodes.
FUZZTIME ?= 20s
ROUNDS   ?= 200
RELOADS  ?= 100
SIGN_UPS ?= 50000
CLUSTER_ROUNDS ?= 200
CONFIGURATIONS ?= 5000
SEED           ?= 1

.DEFAULT_GOAL := help
.PHONY: help run homelab cluster test check lint fmt fmt-check vet caddyfiles bench preview screenshots fuzz build e2e interop apps express mail-servers postgres kill-rounds reloads configurations sign-ups xbuild packages mutants tools clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## the quickstart: the gate, a demo backend and a page with the mails, on localhost
	$(GO) run ./examples/quickstart

homelab: build ## six apps on two domains behind one sign-in, on names below localhost: examples/homelab
	XDG_DATA_HOME=$(CURDIR)/$(BUILD)/homelab $(BUILD)/caddy email-link accounts import examples/homelab/people.csv --create --config examples/homelab/Caddyfile
	XDG_DATA_HOME=$(CURDIR)/$(BUILD)/homelab $(BUILD)/caddy run --config examples/homelab/Caddyfile

cluster: build ## three nodes with one PostgreSQL behind a balancer, on localhost: examples/cluster
	examples/cluster/run

test: fmt-check vet ## formatting, go vet and every test that needs Go alone, counting less than `make check` does
	scripts/isolated --memory $(GO) test -short $(TESTFLAGS) ./...
	scripts/isolated --memory $(GO) -C cmd/xbuild test $(TESTFLAGS) ./...
	scripts/isolated --memory $(GO) -C cmd/packages test $(TESTFLAGS) ./...
	scripts/isolated --memory $(GO) -C examples/mailer test $(TESTFLAGS) ./...
	@scripts/not-covered

check: tools fmt-check vet lint caddyfiles ## everything: lint, race detector, a browser, Node, Python, every Caddyfile
	scripts/mail-servers exim
	$(GO) build -race -tags $(TAGS) ./... # all at once; the tests below two packages at a time: many wait for servers, and none starves
	scripts/isolated --memory $(GO) test -race -short -p 2 -timeout 20m -tags $(TAGS) $(TESTFLAGS) $$($(GO) list -tags $(TAGS) ./... | grep -v /internal/bench)
	scripts/isolated --memory scripts/on-postgres $(GO) test -p 1 -timeout 10m -tags postgres $(TESTFLAGS) $(ON_POSTGRES)
	scripts/isolated --memory scripts/on-postgres $(GO) test -p 1 -timeout 10m -tags postgres -run 'PORT|WHY' $(TESTFLAGS) $(ON_POSTGRES_LONG) ./internal/operator # the rest takes minutes: make postgres
	scripts/isolated $(GO) test -timeout 10m $(TESTFLAGS) ./internal/bench # what it measures means nothing under the race detector
	scripts/isolated --memory $(GO) test -timeout 10m -run TenThousand $(TESTFLAGS) ./internal/flow # -short above: by the thousand
	scripts/isolated --memory $(GO) -C internal/e2e test -race -timeout 20m -tags e2e $(TESTFLAGS) ./...
	scripts/isolated --memory $(GO) -C cmd/xbuild test -timeout 20m -tags xbuild $(TESTFLAGS) ./...
	scripts/isolated --memory $(GO) -C cmd/packages test $(TESTFLAGS) ./... # the packages themselves: make packages
	scripts/isolated --memory $(GO) -C examples/mailer test -race $(TESTFLAGS) ./...

lint: ## golangci-lint with the import rules of the house, and the names of declarations
	$(LINT) run
	@set -e; for module in $(NESTED); do \
		echo "in $$module:"; (cd $$module && $(LINT) run --build-tags $(NESTED_TAGS)); \
	done
	cd $(PEERS) && CGO_ENABLED=0 $(LINT) run
	$(GO) run ./scripts/dialect

fmt: ## write every Go file as gofumpt would
	$(GOFUMPT) -w .

fmt-check:
	@out=$$($(GOFUMPT) -l .) || exit 1; \
	if [ -n "$$out" ]; then printf 'not formatted (make fmt mends it):\n%s\n' "$$out"; exit 1; fi

vet:
	$(GO) vet -tags $(TAGS) ./...
	@set -e; for module in $(NESTED); do \
		echo "in $$module:"; $(GO) -C $$module vet -tags $(NESTED_TAGS) ./...; \
	done
	CGO_ENABLED=0 $(GO) -C $(PEERS) vet ./...

caddyfiles: ## every Caddyfile as `caddy fmt` would write it
	scripts/caddyfiles

bench: ## what a request, a step and the whole cost beside their floors, in one table; BENCH=-short is quick, BENCH=-list lists the rows
	scripts/isolated $(GO) run ./internal/bench $(BENCH)

preview: ## every page and mail in every state and language, with an index
	$(GO) run ./internal/web/preview -o $(BUILD)/preview

screenshots: tools ## the pictures of the README, from the preview, in Chromium
	$(GO) run ./internal/web/preview -o $(BUILD)/preview
	$(GO) -C internal/e2e run ./screenshots -preview ../../$(BUILD)/preview -o ../../docs/pictures

fuzz: ## every fuzz target for FUZZTIME (20s)
	FUZZTIME=$(FUZZTIME) scripts/isolated scripts/fuzz

build: ## Caddy with the module, in build/caddy
	CGO_ENABLED=0 $(GO) build -trimpath -tags nobadger,nomysql,nopgx -ldflags '-w -s' -o $(BUILD)/caddy ./cmd/caddy

xbuild: ## what xcaddy.json says, from this working tree, in build/xcaddy
	$(GO) -C cmd/xbuild run . -dev -f ../../xcaddy.json -o ../../$(BUILD)/xcaddy

packages: ## long: binaries, Debian packages, a container image, an SBOM and checksums of VERSION, in build/packages, and what a Debian makes of them (root)
	$(GO) -C cmd/packages run . -o ../../$(BUILD)/packages -version '$(VERSION)'
	scripts/isolated $(GO) -C cmd/packages test -count 1 -timeout 1h -tags packages -v ./...

e2e: tools ## the tests in a real browser
	scripts/isolated $(GO) -C internal/e2e test -count 1 -timeout 20m -tags e2e -v ./...

interop: tools ## the assertion verified by apps in Go, Node and Python, what the Express example tests in Node, and mails read in Python
	scripts/isolated $(GO) test -count 1 -tags interop -v ./examples/verify/... ./examples/express ./mailer/mime

apps: tools ## the examples with Debian's nginx and Radicale
	scripts/isolated $(GO) test -count 1 -tags apps -v ./examples/nginx ./examples/radicale ./examples/forward-auth

express: tools ## the Express example with MariaDB and SQLite, in a real browser
	scripts/isolated $(GO) -C internal/e2e test -count 1 -tags e2e -run Express -v .

mail-servers: ## Postfix and Exim, unpacked from Debian's packages: TLS, sign-in, DKIM, two parsers
	scripts/mail-servers exim postfix
	MAIL_SERVERS='exim postfix' scripts/isolated $(GO) test -count 1 -tags mailservers -v ./internal/mailservers

postgres: ## the storage engine on Debian's PostgreSQL: the suites, kill -9, cut connections, bad servers
	PGTEST_SILENCE=30s scripts/isolated $(GO) test -count 1 -tags postgres -v ./internal/postgres
	scripts/isolated scripts/on-postgres $(GO) test -count 1 -p 1 -tags postgres -timeout 20m $(ON_POSTGRES) $(ON_POSTGRES_LONG)

.PHONY: migrate
migrate: ## long: 100 000 accounts and sessions from a file to PostgreSQL and back, killed three times each way
	MIGRATE_ACCOUNTS=100000 scripts/isolated $(GO) test -count 1 -timeout 1h -tags postgres -run MOVE1_ThereAndBackKilled -v ./internal/migrate

.PHONY: cluster-rounds
cluster-rounds: ## long: three nodes: ends under load, stops, kills, clocks (apt-get install faketime), rolling changes, keys; CLUSTER_ROUNDS (200) of each
	CLUSTER_ROUNDS=$(CLUSTER_ROUNDS) scripts/isolated $(GO) test -count 1 -timeout 2h -tags postgres -run 'NODE|TOK1_OneOfMany|RL4_ACap' -v ./cmd/caddy

kill-rounds: ## long: ROUNDS (200) rounds of kill -9 under load, of the engine and of the gate, and one at each step of what people do with their accounts
	STORAGE_KILL_ROUNDS=$(ROUNDS) scripts/isolated $(GO) test -count 1 -timeout 4h -run 'Durability|DUR1_Killed' -v ./storage/...
	GATE_KILL_ROUNDS=$(ROUNDS) scripts/isolated $(GO) test -count 1 -timeout 4h -run DUR1_KilledGate -v ./internal/integration
	STEP_KILL_ROUNDS=1 scripts/isolated $(GO) test -count 1 -timeout 1h -tags postgres -run DUR1_KilledAtEachStep -v ./cmd/caddy

reloads: ## long: RELOADS (100) reloads under load, compared with bare Caddy
	RELOADS=$(RELOADS) scripts/isolated $(GO) test -count 1 -timeout 1h -run CFG2_ReloadsBesideBareCaddy -v ./internal/integration

configurations: ## long: CONFIGURATIONS (5000) Caddyfiles put together by chance from SEED, each judged and attacked
	CONFIGURATIONS=$(CONFIGURATIONS) SEED=$(SEED) scripts/isolated $(GO) test -count 1 -timeout 4h -run CONF3_ComposedConfigurations -v ./internal/integration

sign-ups: ## long: SIGN_UPS (50000) sign-ups that are never finished, three times over
	SIGN_UPS=$(SIGN_UPS) scripts/isolated $(GO) test -count 1 -timeout 1h -run FLOW2_ManyUnfinishedSignUps -v ./internal/integration

mutants: ## long: hundreds of small removals of a protection, one at a time, and whether a test notices; MUTANTS=-quick, -only <word>
	scripts/isolated $(GO) run ./internal/mutants $(MUTANTS)

tools:
	scripts/tools

clean: ## remove what the other targets built
	rm -rf $(BUILD)
