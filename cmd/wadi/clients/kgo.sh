#!/usr/bin/env bash
# kgo.sh [RECORDS]: run franz-go's integration tests of package kgo against wadi dev. KGO.md says
# what is left out and why. Leaves nothing running. Of the environment: KGO_RUN, only the tests that fit
# the expression; KGO_COUNT, how often (1); KGO_CHAOS, without and with dying connections ("0 1"); KGO_KILL,
# on a cluster of three agents, of which one is killed and comes back each so many seconds; KGO_LOG, a file for
# all that a run printed.
set -euo pipefail
cd "$(dirname "$0")"
records=${1:-50000}
folder=$(mktemp -d)
wadi=
up=
killer=
finish() {
  [ -z "$killer" ] || { kill "$killer" && wait "$killer"; } 2>/dev/null || true
  [ -z "$up" ] || { exec 3>&- && wait "$up"; } 2>/dev/null || true # It ends with its input.
  [ -z "$wadi" ] || { kill "$wadi" && wait "$wadi"; } 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT

(cd ../../.. && go build -o "$folder/wadi" ./cmd/wadi)
source=$(go list -f '{{.Dir}}' github.com/twmb/franz-go/pkg/kgo)
modfile=go.mod
if [ -n "${KGO_KILL:-}" ]; then
  # TestTxnEtl takes any error of a poll for a failure; that a group's session ended is one when its coordinator is killed.
  module=$(go list -m -f '{{.Dir}}' github.com/twmb/franz-go)
  cp -r "$module" "$folder/franz-go"
  chmod -R u+w "$folder/franz-go"
  sed -i 's/^\t*c.sendErr(fmt.Errorf("poll got unexpected errs: .*/for _, e := range fetchErrs { if ended := (*ErrGroupSession)(nil); !errors.As(e.Err, \&ended) { c.sendErr(e.Err) } }/' \
    "$folder/franz-go/pkg/kgo/txn_test.go"
  cmp -s "$source/txn_test.go" "$folder/franz-go/pkg/kgo/txn_test.go" && { echo "txn_test.go is not what it was" >&2; exit 1; }
  modfile=$folder/go.mod
  cp go.mod go.sum "$folder/"
  go mod edit -replace "github.com/twmb/franz-go=$folder/franz-go" "$modfile"
fi
go test -modfile "$modfile" -c -o "$folder/kgo.test" github.com/twmb/franz-go/pkg/kgo
skip=$(sed -n 's/^| `\(Test[A-Za-z0-9]*\)` | .*/\1/p' KGO.md | head -c -1 | tr '\n' '|')

if [ -n "${KGO_KILL:-}" ]; then
  (cd ../../.. && go build -o "$folder/up" ./bench/cluster/up)
  mkfifo "$folder/orders"
  "$folder/up" -json -wadi "$folder/wadi" -kafka 0 -http 0 -- --config num.partitions=4 <"$folder/orders" >"$folder/answers" 2>"$folder/wadi.log" &
  up=$!
  exec 3>"$folder/orders"
  for _ in $(seq 3000); do
    [ ! -s "$folder/answers" ] || break
    sleep 0.1
  done
  address=$(head -n 1 "$folder/answers" | grep -o '"Kafka":"[^"]*"' | cut -d'"' -f4 | paste -sd,)
  # Each order is answered by a line, so an agent is back before the next one goes.
  (
    answered=1
    order() {
      echo "$1" >&3
      answered=$((answered + 1))
      while [ "$(wc -l <"$folder/answers")" -lt "$answered" ]; do sleep 0.05; done
    }
    while sleep "$KGO_KILL"; do
      agent=agent-$((RANDOM % 3))
      order "kill $agent"
      order "start $agent"
    done
  ) &
  killer=$!
else
  "$folder/wadi" dev --dir "$folder/data" --kafka 127.0.0.1:0 --http '' --config num.partitions=4 --log-format json 2>"$folder/wadi.log" &
  wadi=$!
  for _ in $(seq 100); do
    address=$(sed -n 's/.*"msg":"ready".*"kafka":"\([^"]*\)".*/\1/p' "$folder/wadi.log")
    [ -z "$address" ] || break
    sleep 0.1
  done
  [ -n "${address:-}" ] || { cat "$folder/wadi.log" >&2; echo "wadi dev is not ready" >&2; exit 1; }
fi

for chaos in ${KGO_CHAOS:-0 1}; do
  echo "== kgo, KGO_TEST_CHAOS=$chaos, $records records"
  began=$SECONDS
  (cd "$source" && KGO_TEST_CHAOS=$chaos KGO_LOG_LEVEL="${KGO_LOG_LEVEL:-none}" KGO_SEEDS=$address KGO_TEST_RF=1 KGO_TEST_RECORDS=$records \
    "$folder/kgo.test" -test.v -test.timeout 20m -test.run "${KGO_RUN:-.}" -test.count "${KGO_COUNT:-1}" -test.skip "^($skip)\$" >"$folder/kgo.log" 2>&1 3>&-) ||
    {
      tail -c 20000 "$folder/kgo.log"
      tail -n 20 "$folder/wadi.log"
      echo "== complaints, each with how often it came"
      grep -oE '(sendErr group=[0-9a-f]+|_test.go:[0-9]+): .*' "$folder/kgo.log" | sed -E 's/[0-9a-f]{64}/…/g' | cut -c 1-300 | sort | uniq -c | sort -rn | head -n 40
      grep -E '^ *--- FAIL' "$folder/kgo.log"
      [ -z "${KGO_LOG:-}" ] || cp "$folder/kgo.log" "$KGO_LOG"
      exit 1
    }
  grep -E '^ *--- SKIP' "$folder/kgo.log" || true
  echo "== $(grep -cE '^--- PASS' "$folder/kgo.log") passed, 0 failed, $((SECONDS - began)) s"
done
