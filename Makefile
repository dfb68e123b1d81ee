# Trapline. The two commands: `go run ./cmd/trapline run` and `make test`.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
TOOL     = go tool -modfile=internal/tools/go.mod
LDFLAGS  = -s -w -X main.version=$(VERSION)
# Looked up when the tests start, after peers: without the library its tests cannot be compiled.
LIBMODSECURITY = $(shell pkg-config --exists modsecurity && echo libmodsecurity || echo 'PEER MISSING: libmodsecurity-dev, its tests are skipped' >&2)

.PHONY: build test test-hermetic peers lint bench fuzz cross package clean

build: ## one static binary in bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/trapline ./cmd/trapline

test: peers build cross ## everything: vet, hermetic tests, and the tests with real peers
	go vet -tags 'peers oracle $(LIBMODSECURITY)' ./...
	go test -count=1 -tags 'peers oracle $(LIBMODSECURITY)' -timeout 9m ./... # the black-box tests run a binary that the test cache does not see
	@if pkg-config --exists libxml-2.0 2>/dev/null; then set -x; go vet -tags libxml2 ./seclang/... && go test -tags libxml2 ./seclang/...; \
	else echo "PEER MISSING, the build with libxml2 is not tested: libxml2-dev" >&2; fi

test-hermetic: ## no network, no root, no peers
	go test ./...

peers: ## Apache with mod_security2 and mlogc, CRS, nginx, nmap, sqlmap, chromium: installed with apt where it may
	@test/peers.sh

lint: ## the rules of the house that a linter can see
	$(TOOL) golangci-lint run ./...

bench: peers ## each number beside its peer in the same run; see test/bench/README.md
	go test -run '^$$' -bench . -benchmem -tags 'peers oracle bench' -timeout 60m ./...

fuzz: ## 20 s for every fuzz target
	@test/fuzz.sh 20s

cross: ## compiles for the other platforms
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -o /dev/null ./cmd/trapline
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go build -o /dev/null ./cmd/trapline
	CGO_ENABLED=0 GOOS=windows GOARCH=amd64 go build -o /dev/null ./cmd/trapline

package: build ## .deb, .rpm and .apk in dist/
	@mkdir -p dist
	for f in deb rpm apk; do VERSION=$(VERSION) $(TOOL) nfpm package -f packaging/nfpm.yaml -p $$f -t dist/; done

clean:
	rm -rf bin dist
