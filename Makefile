# What CI runs is make check. Each part can be run alone.

GO        ?= go
STATIC     = $(GO) tool -modfile=tools.mod staticcheck
TARGETS    = linux/arm64 windows/amd64 darwin/arm64
LINKED     = ./driver ./vfs ./grafttest ./examples/...
CROSS      = linux/amd64 linux/arm64 linux/arm linux/386 linux/riscv64 linux/ppc64le linux/s390x linux/loong64 \
	windows/amd64 windows/arm64 windows/386 darwin/amd64 darwin/arm64 \
	freebsd/amd64 freebsd/arm64 netbsd/amd64 openbsd/amd64 android/arm64 js/wasm wasip1/wasm
EMULATED   = linux/386 linux/arm linux/arm64 linux/s390x
# Tests that start themselves, which a program under qemu-user cannot: the kernel has no way to run its file.
STARTING   = TestWriteUntilKilled|TestKilledProcess|TestKillsLeaveNoDamage|NamesTheProcess|RaceOfProcesses|FailedMsync
FUZZTIME  ?= 5000x
# Packages that are tested at a time: some tests wait for the disk, or for time to pass.
PARALLEL  ?= -p 3
WASM2GO    = -tags graft_wasm2go
RUNS_SQLITE = {{if .ForTest}}{{$$p := .ForTest}}{{range .Deps}}{{if eq . "github.com/ncruces/go-sqlite3"}}{{$$p}}{{end}}{{end}}{{end}}

# Where the real servers are that tests start if they are there (internal/testserver looks in the same place).
CACHE          = $(or $(XDG_CACHE_HOME),$(firstword $(wildcard $(HOME)/Library/Caches) $(HOME)/.cache))
GRAFT_SERVERS ?= $(CACHE)/graft/servers
export GRAFT_SERVERS
MINIO          = github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
VERSITY        = github.com/versity/versitygw/cmd/versitygw@v1.8.0
GCS            = github.com/fsouza/fake-gcs-server@v1.56.1
AZURITE        = azurite@3.37.0

.PHONY: check format vet staticcheck tidy test race torture wasm2go toxic orm fuzz bench bench-compare bench-compare-selftest cross platforms platforms-tests platforms-exchange platforms-smoke servers servers-clouds generate generated rename

check: format vet staticcheck tidy cross test race wasm2go toxic orm fuzz bench generated

format:
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "gofmt would change:"; echo "$$files"; exit 1; fi

vet:
	$(GO) vet ./...
	$(GO) -C bench vet ./...
	$(GO) -C bench vet -modfile=go.wasm2go.mod $(WASM2GO) ./...
	$(GO) -C bench/litestream vet ./...
	$(GO) -C internal/toxitest vet ./...
	$(GO) -C examples/orm vet ./...

staticcheck:
	$(STATIC) ./...

tidy:
	$(GO) mod tidy -diff
	$(GO) -C bench mod tidy -diff
	$(GO) -C bench mod tidy -modfile=go.wasm2go.mod -diff
	$(GO) -C bench/litestream mod tidy -diff
	$(GO) -C internal/toxitest mod tidy -diff
	$(GO) -C internal/wasm2go mod tidy -diff
	$(GO) mod tidy -modfile=go.wasm2go.mod -diff
	$(GO) -C examples/orm mod tidy -diff

# The README's command.
test:
	$(GO) test $(PARALLEL) ./...

# Nothing in volume and syncmodel starts a goroutine, in their tests neither: test is enough for them. Of the others, -short lets
# rapid make a fifth of its checks, takes smaller databases, and leaves out what builds a program or repeats a sweep in another way.
race:
	$(GO) test $(PARALLEL) -race -short -shuffle=on $$($(GO) list ./... | grep -vx -e '.*/volume' -e '.*/internal/syncmodel')

# Machines race for long, among faults; it prints seeds and figures.
# Eight machines for thousands of rounds take seven minutes of CPU without the race detector.
#	make torture ROUNDS=3000 SEED=1 TORTURE=TestRace/8 RACE=
ROUNDS  ?= 3000
SEED    ?= 0
TORTURE ?= TestRace|TestBank
RACE    ?= -race

torture:
	$(GO) test $(RACE) -count=1 -timeout 0 -v ./internal/torture -run '$(TORTURE)' -torture.rounds=$(ROUNDS) -torture.seed=$(SEED)

# Whatever runs SQLite on the other engine, and programs that are built for it (docs/adr/0014). For all else it is the same code:
# torture is of what lies below SQLite, and -short as for race, but for the size of a program, which differs.
wasm2go:
	$(GO) vet -modfile=go.wasm2go.mod $(WASM2GO) ./...
	$(GO) test -modfile=go.wasm2go.mod $(WASM2GO) $(PARALLEL) -short $$($(GO) list -test -f '$(RUNS_SQLITE)' ./... | sort -u | grep -v '/internal/torture$$')
	$(GO) test -modfile=go.wasm2go.mod $(WASM2GO) -run '^TestSize$$' ./examples/smallest
	@if out=$$($(GO) vet -modfile=go.wasm2go.mod ./vfs 2>&1); then echo "the newer go-sqlite3 builds without the tag"; exit 1; fi; \
	case "$$out" in *build_with_tag_graft_wasm2go*) ;; *) echo "without the tag, it is not said to use it: $$out"; exit 1;; esac
	$(GO) -C internal/wasm2go test $(WASM2GO) ./...

# Buckets over bad lines.
toxic:
	$(GO) -C internal/toxitest test -race -shuffle=on ./...

# What builds on database/sql.
orm:
	$(GO) -C examples/orm test -race -shuffle=on ./...

# Installs the servers of S3: about four minutes on two cores. Without them their tests say so and skip.
servers: $(foreach server,$(MINIO) $(VERSITY),$(GRAFT_SERVERS)/.$(notdir $(server)))

# Installs those of Google Cloud Storage and Azure: two to five minutes, and npm. CI has no time for them.
servers-clouds: $(GRAFT_SERVERS)/.$(notdir $(GCS)) $(GRAFT_SERVERS)/.$(AZURITE)

$(GRAFT_SERVERS)/.$(notdir $(MINIO)):
	GOBIN="$(GRAFT_SERVERS)" $(GO) install $(MINIO)
	touch "$@"

$(GRAFT_SERVERS)/.$(notdir $(VERSITY)):
	GOBIN="$(GRAFT_SERVERS)" $(GO) install $(VERSITY)
	touch "$@"

$(GRAFT_SERVERS)/.$(notdir $(GCS)):
	GOBIN="$(GRAFT_SERVERS)" $(GO) install $(GCS)
	touch "$@"

$(GRAFT_SERVERS)/.$(AZURITE):
	npm install --prefix "$(GRAFT_SERVERS)/azurite" --no-audit --no-fund --no-save --ignore-scripts $(AZURITE)
	touch "$@"

# Every fuzz target for a moment; their corpora are run by test as well. The moment is a number of inputs: at the end of
# a duration Go before 1.27 may report a target that found nothing as failed (go.dev/issue/75804). All targets of a package
# are in one program: go test -fuzz links another one for each.
fuzz:
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do \
		$(GO) test -c -fuzz . -o "$$dir/fuzz.test" "$$pkg" || exit 1; \
		for target in $$(cd "$$pkg" && "$$dir/fuzz.test" -test.list '^Fuzz'); do \
			echo "$$pkg $$target"; \
			(cd "$$pkg" && "$$dir/fuzz.test" -test.run '^$$' -test.fuzz "^$$target$$" -test.fuzztime $(FUZZTIME) \
				-test.fuzzminimizetime 20x -test.fuzzcachedir "$$($(GO) env GOCACHE)/fuzz/graft/$${pkg#./}") || exit 1; \
		done; \
	done

# Every workload and every benchmark once, tiny, so that none rots. It builds the programs of peers, which takes minutes the first time.
bench:
	$(GO) -C bench test -timeout 30m -bench . -benchtime 1x ./...

# What changed since a commit: the benchmarks of both, by turns, and what benchstat makes of them.
#	make bench-compare BASE=COMMIT
BENCH        ?= ./^graft$$|ColdPointQuery
BENCH_ROUNDS ?= 8
BENCH_TIME   ?= 500ms

bench-compare:
	@test -n "$(BASE)" || { echo "BASE is not set"; exit 1; }
	@dir=$$(mktemp -d) && trap 'git worktree remove --force "$$dir/tree"; rm -rf "$$dir"' EXIT && \
		git worktree add --quiet --detach "$$dir/tree" "$(BASE)" && \
		$(GO) -C "$$dir/tree/bench" test -c -o "$$dir/base.test" . && \
		$(GO) -C bench test -c -o "$$dir/head.test" . && \
		for round in $$(seq $(BENCH_ROUNDS)); do \
			order="base head"; [ $$((round % 2)) = 1 ] || order="head base"; \
			for side in $$order; do \
				echo "round $$round of $(BENCH_ROUNDS): $$side"; \
				(cd bench && "$$dir/$$side.test" -test.run '^$$' -test.bench '$(BENCH)' -test.benchtime $(BENCH_TIME) >>"$$dir/$$side") || exit 1; \
			done; \
		done && \
		$(GO) tool -modfile=tools.mod benchstat "base=$$dir/base" "head=$$dir/head" && \
		$(GO) tool -modfile=tools.mod benchstat -format csv "base=$$dir/base" "head=$$dir/head" 2>/dev/null | awk -F, '$(SLOWER)'

# The last line of bench-compare: the times that grew, where benchstat takes that for significant.
SLOWER = /vs base/ { times = /sec\/op/ } times && $$6 ~ /^\+/ && $$1 != "geomean" { slower = slower " " $$1 " " $$6 } END { print "slower:" (slower ? slower : " nothing") }

# Regressions that bench-compare must see, planted in the path of a read: FILE:PATTERN, a line before which a sleep is put.
# It takes minutes: each is built and measured.
PLANTS = 'snapshot/reader.go:r.pageIn(ctx,.p,.dst)' 'volume/store/read.go:page.:=.s.readPlace(ref,.buf);.page'

bench-compare-selftest:
	@dir=$$(mktemp -d) && trap 'git worktree remove --force "$$dir/tree"; rm -rf "$$dir"' EXIT && \
		git worktree add --quiet --detach "$$dir/tree" HEAD && \
		for plant in $(PLANTS); do \
			file=$${plant%%:*}; \
			git -C "$$dir/tree" checkout --quiet . && \
			sed -i -e "/$${plant#*:}/i time.Sleep(50 * time.Microsecond)" -e '0,/^import (/s//import ("time"/' "$$dir/tree/$$file" && \
			$(MAKE) --no-print-directory -C "$$dir/tree" bench-compare BASE=HEAD BENCH='PointSelectLarge/^graft$$$$' BENCH_ROUNDS=6 BENCH_TIME=200ms >"$$dir/out" || { cat "$$dir/out"; exit 1; }; \
			tail -n 12 "$$dir/out"; \
			grep -q '^slower: PointSelectLarge' "$$dir/out" || { echo "the sleep in $$file is not seen"; exit 1; }; \
		done

# Programs are linked for some platforms, linux/amd64 being what all else is built for, and on both engines for
# android/arm64. For all others types are checked, and for one of them those of the clouds' packages.
cross:
	@for t in $(TARGETS); do \
		echo "build $$t"; \
		CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build $(LINKED) || exit 1; \
	done
	GRAFT_CROSS=1 $(GO) test -count=1 -timeout 30m -run '^(TestTypes|TestMobileSize)$$' ./internal/platform

# $(call emulate,TARGETS,PACKAGES) runs tests on other processors: all where this one can, and where qemu-user has to those
# that are not in STARTING, with a tenth of rapid's checks. What fails on one of them keeps none from the others.
define emulate
	@failed=; for t in $(1); do \
		arch=$${t#*/}; qemu=qemu-$$arch-static; skip="$(STARTING)"; checks=10; \
		case $$arch in 386) qemu=; skip='^$$'; checks=100;; arm64) qemu=qemu-aarch64-static;; esac; \
		if [ -n "$$qemu" ] && ! command -v $$qemu >/dev/null; then \
			echo "skipped: $$t: $$qemu is not installed (Debian's qemu-user-static has it)"; continue; \
		fi; \
		echo "test $$t"; \
		RAPID_CHECKS=$$checks CGO_ENABLED=0 GOARCH=$$arch \
			$(GO) test -vet=off -exec "$$qemu" -timeout 60m -skip "$$skip" $(2) || failed="$$failed $$t"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed on$$failed"; exit 1; fi
endef

# $(call exchange,TARGETS) has each of them read what the others wrote.
exchange = GRAFT_PLATFORMS="$(1)" $(GO) test -count=1 -timeout 60m -run '^TestExchange$$' -v ./internal/platform

platforms: platforms-tests platforms-exchange

platforms-tests:
	$(call emulate,$(EMULATED),./volume/... ./snapshot ./objstore)

platforms-exchange:
	$(call exchange,linux/amd64 $(EMULATED))

# The least that shows a format that depends on the byte order or on the size of a word.
platforms-smoke:
	$(call emulate,linux/s390x,./volume ./volume/store/journal)
	$(call exchange,linux/386 linux/s390x)

# Go code of volume/graft.proto.
generate:
	$(GO) tool -modfile=tools.mod buf generate volume

# What generate would write is what is there.
generated:
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
		$(GO) tool -modfile=tools.mod buf generate volume --output "$$dir" && \
		diff "$$dir/internal/graftpb/graft.pb.go" internal/graftpb/graft.pb.go

# The module under another path: make rename MODULE=example.com/acme/graft
rename:
	@test -n "$(MODULE)" || { echo "MODULE is not set"; exit 1; }
	old=$$($(GO) list -m) && \
	git ls-files '*.go' | xargs sed -i.old -E -e "s#\"$$old/#\"$(MODULE)/#g" -e "s#^(import |[[:space:]]+)(([a-z]+|_) )?\"$$old\"\$$#\1\2\"$(MODULE)\"#" && \
	sed -i.old "s#$$old/internal#$(MODULE)/internal#" volume/graft.proto && \
	sed -i.old "s#module=$$old#module=$(MODULE)#" buf.gen.yaml && \
	$(GO) mod edit -module "$(MODULE)" && \
	$(GO) mod edit -module "$(MODULE)/bench" -droprequire "$$old" -dropreplace "$$old" -require "$(MODULE)@v0.0.0" -replace "$(MODULE)=../" bench/go.mod && \
	$(GO) mod edit -module "$(MODULE)/bench" -droprequire "$$old" -dropreplace "$$old" -require "$(MODULE)@v0.0.0" -replace "$(MODULE)=../" bench/go.wasm2go.mod && \
	$(GO) mod edit -module "$(MODULE)/bench/litestream" bench/litestream/go.mod && \
	$(GO) mod edit -module "$(MODULE)/internal/toxitest" -droprequire "$$old" -dropreplace "$$old" -require "$(MODULE)@v0.0.0" -replace "$(MODULE)=../../" internal/toxitest/go.mod && \
	$(GO) mod edit -module "$(MODULE)/internal/wasm2go" -droprequire "$$old" -dropreplace "$$old" -require "$(MODULE)@v0.0.0" -replace "$(MODULE)=../../" internal/wasm2go/go.mod && \
	$(GO) mod edit -module "$(MODULE)" go.wasm2go.mod && \
	$(GO) mod edit -module "$(MODULE)/examples/orm" -droprequire "$$old" -dropreplace "$$old" -require "$(MODULE)@v0.0.0" -replace "$(MODULE)=../../" examples/orm/go.mod && \
	$(GO) mod edit -module "$(MODULE)/tools" tools.mod
	find . -name '*.old' -delete
	gofmt -w .
	$(MAKE) generate
