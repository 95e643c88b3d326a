# `make` lists the targets. None needs root or Docker.

GO          ?= go
FUZZTIME    ?= 60s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
CLIENTS     := cmd/wadi/clients
KGO_RECORDS ?= 50000

.DEFAULT_GOAL := help
.PHONY: help check build demo test test-s3 test-buckets test-archive merging test-race clients test-clients clients-cluster kgo clients-jvm differential chaos cluster bench bench-quick bench-kafka bench-page sim sabotage lint fuzz clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

check: # says in one sentence what is missing
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go 1.21 or later (it fetches the version that go.mod names)." >&2; exit 1; }
	@$(GO) list -m >/dev/null 2>&1 || { echo "This Go can't read go.mod ($$($(GO) version)): install Go 1.21 or later, which fetches the version that go.mod names." >&2; exit 1; }

check-cc: check
	@command -v "$$($(GO) env CC | cut -d' ' -f1)" >/dev/null || { echo "A C compiler is missing (librdkafka and the race detector need it): install gcc, on Debian and Ubuntu with apt-get install gcc libc6-dev." >&2; exit 1; }

build: check ## build ./wadi
	$(GO) build -o wadi ./cmd/wadi

demo: check ## watch an agent take, keep and replay real records
	@$(GO) run ./cmd/wadi demo

test: check-cc ## run all tests, those with other Kafka clients too
	$(GO) test ./...
	@if [ -f $(CLIENTS)/go.mod ]; then echo "cd $(CLIENTS) && $(GO) test ./..." && cd $(CLIENTS) && $(GO) test ./...; fi

test-s3: check ## run the tests on moto's S3 server, which needs python3 and is fetched
	$(GO) test -tags s3 -run 'Moto|OnS3' ./agent/bucket ./agent ./bench/cluster

test-buckets: check ## run the buckets' tests on MinIO and fake-gcs-server too (built once, 10 minutes)
	$(GO) test -tags buckets ./agent/bucket/...

test-archive: check ## read an archive of real records with DuckDB and pyarrow, which it fetches; needs python3
	@cmd/wadi/analyst/fetch.sh $(CURDIR)/.cache/analyst
	WADI_TEST_ANALYST=$(CURDIR)/.cache/analyst $(GO) test -tags archive -run '^TestArchive_Engines' -count=1 ./cmd/wadi

merging: check ## measure what merging saves, what the archive costs, and GETs of a replay (2 CPU-minutes)
	$(GO) run ./bench/merging/measure day
	$(GO) run ./bench/merging/measure archive
	$(GO) run ./bench/merging/measure replay

test-race: check-cc ## run the tests under the race detector
	$(GO) test -race ./...

clients: check-cc ## run only the tests with other Kafka clients
	cd $(CLIENTS) && $(GO) test ./...

test-clients: check-cc ## test with the clients of Java, Node and Python, which it fetches
	@$(CLIENTS)/fetch.sh $(CURDIR)/.cache/clients
	cd $(CLIENTS) && WADI_TEST_CLIENTS=$(CURDIR)/.cache/clients $(GO) test -tags languages -run '^TestLanguages' -count=1 .

clients-cluster: check-cc ## test with clients in three zones at a cluster of three agents (BUCKET=moto|minio|gcs|folder)
	@$(CLIENTS)/fetch.sh $(CURDIR)/.cache/clients
	cd $(CLIENTS) && WADI_TEST_CLIENTS=$(CURDIR)/.cache/clients WADI_TEST_BUCKET=$(BUCKET) $(GO) test -tags cluster,languages -run '^TestCluster' -count=1 -timeout 20m .

kgo: check ## run franz-go's own integration tests, KGO_RECORDS (50000) records in each
	@$(CLIENTS)/kgo.sh $(KGO_RECORDS)

clients-jvm: check ## run Kafka Connect and Kafka Streams of Maven against wadi dev
	@command -v mvn >/dev/null || { echo "Maven is missing (it fetches Kafka Connect and Streams): install it, on Debian and Ubuntu with apt-get install maven." >&2; exit 1; }
	@test -d .cache/kafka-jvm-4.2.0 || mvn -q -B -f $(CLIENTS)/jvm/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/.cache/kafka-jvm-4.2.0
	$(GO) build -o .cache/wadi ./cmd/wadi
	cd $(CLIENTS) && WADI_JVM_JARS=$(CURDIR)/.cache/kafka-jvm-4.2.0 WADI_TEST_BINARY=$(CURDIR)/.cache/wadi $(GO) test -tags jvm -count=1 -timeout 10m ./jvm

differential: check ## ask Apache Kafka and Wadi the same, compare the answers
	@command -v mvn >/dev/null || { echo "Maven is missing (it fetches Apache Kafka): install it, on Debian and Ubuntu with apt-get install maven." >&2; exit 1; }
	@test -d .cache/kafka-4.2.0 || mvn -q -B -f bench/differential/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/.cache/kafka-4.2.0
	$(GO) build -o .cache/wadi ./cmd/wadi
	$(GO) run ./bench/differential -jars .cache/kafka-4.2.0 -wadi .cache/wadi

# What make chaos may be told.
DURATION ?= 300s
SEED     ?= 0
AGENTS   ?= 3
READ     ?= assign
FAULTS   ?= mix
PRODUCERS ?= idempotent,plain
BUCKET   ?= moto
WINDOW   ?= 30s
AUDIT    ?= 0

chaos: check-cc ## break real agents, Postgres and S3 while clients run (DURATION=300s SEED=0 AGENTS=3 READ=assign|subscribe|both FAULTS=mix|rolling PRODUCERS=idempotent,plain,transactional)
	$(GO) build -o .cache/wadi ./cmd/wadi
	$(GO) build -o .cache/chaos ./bench/chaos
	cd $(CLIENTS) && $(GO) build -o $(CURDIR)/.cache/workload ./workload
	.cache/chaos -wadi .cache/wadi -workload .cache/workload -duration $(DURATION) -window $(WINDOW) -seed $(SEED) -agents $(AGENTS) -read $(READ) -faults $(FAULTS) -producers $(PRODUCERS) -bucket $(BUCKET) -audit-segments $(AUDIT)

# The tests that hold a cluster's figures. They say what they measured with -v.
FIGURES := TestAgent_PutsAGiB|TestCluster_CostOfZones|TestAgent_CostOf|TestFigure_|TestDivide_|TestStaleness|TestColdStart_OnAFolder

figures: check ## measure what a cluster costs (PUTs, GETs, statements, WAL), shards a seat, delays, a cold start
	@mkdir -p .cache; $(GO) test -count=1 -v -run '^($(FIGURES))' ./agent ./agent/cluster ./agent/follow ./metastore/postgres ./bench/cluster >.cache/figures.out; \
		failed=$$?; grep -v '^=== ' .cache/figures.out; exit $$failed

cluster: check ## run Postgres and three agents in three zones on this machine, for you to try (BUCKET=folder|moto|minio|gcs)
	$(GO) build -o wadi ./cmd/wadi
	$(GO) run ./bench/cluster/up $(if $(filter command,$(origin BUCKET)),-bucket $(BUCKET))

# Rows whose old data must stay in the fake S3 get memory for it.
BENCH_HOT  := W1,W1-franz,W1-lz4,W2,W3,W4,W5x0,W5,W5x3,W5-reread,W9,W10,W1-express,W1-standard,W8-zero,W8-express,W8-standard
BENCH_SLOW := W7-zero,W7-express,W7-standard,W7-hedged,W7-single,W11,W12
BENCH_COLD := W6,W13
BENCH_OUT  := .cache/bench

bench: check ## measure Wadi beside its floor, a line a target (ARGS="-foreign 1 -pairs 2"; bench/README.md)
	@mkdir -p $(BENCH_OUT)
	$(GO) run ./bench run -rows $(BENCH_HOT) -out $(BENCH_OUT)/hot.json $(ARGS)
	$(GO) run ./bench run -rows $(BENCH_SLOW) -systems wadi -out $(BENCH_OUT)/slow.json $(ARGS)
	$(GO) run ./bench run -rows $(BENCH_COLD) -systems wadi -keep 3072 -out $(BENCH_OUT)/cold.json $(ARGS)
	$(GO) run ./bench targets -page bench/RESULTS.md $(wildcard $(BENCH_OUT)/kafka.json) $(BENCH_OUT)/hot.json $(BENCH_OUT)/slow.json $(BENCH_OUT)/cold.json

bench-quick: check ## the same, coarse, in a few minutes
	$(GO) run ./bench run -quick -gate 1s -foreign 1 -touch 1 -keep 3072 -rows W1,W3,W4,W5-reread,W10,W7-express,W7-standard,W12,W6 $(ARGS)

bench-kafka: check ## measure Apache Kafka beside Wadi and the floor, one node and three
	@command -v mvn >/dev/null || { echo "Maven is missing (it fetches Apache Kafka): install it, on Debian and Ubuntu with apt-get install maven." >&2; exit 1; }
	@test -d .cache/kafka-4.2.0 || mvn -q -B -f bench/differential/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/.cache/kafka-4.2.0
	@mkdir -p $(BENCH_OUT)
	$(GO) run ./bench run -rows W1,W3 -systems floor,wadi,kafka,kafka3 -out $(BENCH_OUT)/kafka.json $(ARGS)

# The page in 25 minutes: what a part has measured when its time is up counts. W1 itself shows 10 to 15 % of
# foreign CPU on a quiet machine: the kernel's work for the loopback is nobody's.
BENCH_PART := $(BENCH_OUT)/run run -wadi $(BENCH_OUT)/wadi -gate 10s -tries 2 -foreign 0.25 -touch 1

bench-page: check ## measure what the targets need in 25 minutes, Apache Kafka too, and write bench/RESULTS.md
	@command -v mvn >/dev/null || { echo "Maven is missing (it fetches Apache Kafka): install it, on Debian and Ubuntu with apt-get install maven." >&2; exit 1; }
	@test -d .cache/kafka-4.2.0 || mvn -q -B -f bench/differential/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/.cache/kafka-4.2.0
	@mkdir -p $(BENCH_OUT); rm -f $(BENCH_OUT)/page-*.json
	$(GO) build -o $(BENCH_OUT)/wadi ./cmd/wadi
	$(GO) build -o $(BENCH_OUT)/run ./bench
	-timeout 660 $(BENCH_PART) -systems floor,wadi,kafka -rows W1,W3 -window 4s -out $(BENCH_OUT)/page-1.json $(ARGS)
	-timeout 90 $(BENCH_PART) -systems kafka3 -rows W1 -pairs 1 -window 5s -warm 3 -out $(BENCH_OUT)/page-2.json $(ARGS)
	-timeout 140 $(BENCH_PART) -systems floor,wadi -rows W5-reread -pairs 3 -window 4s -out $(BENCH_OUT)/page-3.json $(ARGS)
	-timeout 220 $(BENCH_PART) -systems wadi -rows W1,W8-zero,W1-express,W8-express,W1-standard,W8-standard,W4,W10 -pairs 1 -window 6s -out $(BENCH_OUT)/page-4.json $(ARGS)
	-timeout 90 $(BENCH_PART) -systems wadi -rows W7-zero,W7-express -pairs 1 -window 15s -warm 1 -out $(BENCH_OUT)/page-5.json $(ARGS)
	-timeout 170 $(BENCH_PART) -systems wadi -rows W7-standard,W7-hedged -pairs 1 -window 30s -warm 1 -out $(BENCH_OUT)/page-6.json $(ARGS)
	-timeout 180 $(BENCH_PART) -systems wadi -rows W6,W13 -keep 3072 -pairs 1 -window 30s -out $(BENCH_OUT)/page-7.json $(ARGS)
	-timeout 150 $(BENCH_PART) -systems wadi -rows W12,W11 -pairs 1 -warm 1 -out $(BENCH_OUT)/page-8.json $(ARGS)
	$(BENCH_OUT)/run targets -page bench/RESULTS.md $(BENCH_OUT)/page-*.json

SEEDS   ?= 100
SEED0   ?= 0
ARGS    ?=

sim: check ## simulate the kept seeds and SEEDS (100) clusters from SEED0 on (drawn); TWICE=1 compares traces, FOR=3m ends
	$(GO) run ./bench/simulation/replay -kept bench/simulation/seeds.txt -seed0 $(SEED0) -seeds $(SEEDS) $(if $(FOR),-for $(FOR)) $(if $(TWICE),-twice) -- $(ARGS)

sabotage: check ## find each deliberate bug by simulation, and write the table (goes on where it was; ONLY=name AGAIN=1 FOR=5m)
	$(GO) run ./bench/simulation/sabotage -out bench/simulation/SABOTAGE.md $(if $(ONLY),-only '$(ONLY)') $(if $(AGAIN),-again) $(if $(FOR),-for $(FOR))

lint: check ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l agent bench cmd compaction metastore wire); if [ -n "$$unformatted" ]; then echo "not as gofmt writes it: $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	@if [ -f $(CLIENTS)/go.mod ]; then cd $(CLIENTS) && $(GO) vet -tags cluster,languages ./...; fi

# Go's fuzzer now and then takes the end of its own time for a failure; a real one is
# kept in testdata, so that it fails again.
fuzz: check ## fuzz every decoder for FUZZTIME (60s, or 20000x) each
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' agent bench cmd compaction metastore wire | grep -v '^$(CLIENTS)/' | sort); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "$$target, $$(dirname $$file), $(FUZZTIME)"; \
			fuzz="$(GO) test -run ^$$ -fuzz ^$$target$$ -fuzztime $(FUZZTIME) ./$$(dirname $$file)"; \
			$$fuzz || $$fuzz; \
		done; \
	done

clean: ## remove what was built
	rm -f wadi
