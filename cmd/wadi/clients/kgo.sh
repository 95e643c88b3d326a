#!/usr/bin/env bash
# kgo.sh [RECORDS]: run franz-go's integration tests of package kgo against wadi dev. KGO.md says
# what is left out and why. Leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")"
records=${1:-50000}
folder=$(mktemp -d)
wadi=
finish() {
  [ -z "$wadi" ] || { kill "$wadi" && wait "$wadi"; } 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT

(cd ../../.. && go build -o "$folder/wadi" ./cmd/wadi)
go test -c -o "$folder/kgo.test" github.com/twmb/franz-go/pkg/kgo
skip=$(sed -n 's/^| `\(Test[A-Za-z0-9]*\)` | .*/\1/p' KGO.md | head -c -1 | tr '\n' '|')
source=$(go list -f '{{.Dir}}' github.com/twmb/franz-go/pkg/kgo)

"$folder/wadi" dev --dir "$folder/data" --kafka 127.0.0.1:0 --http '' --config num.partitions=4 --log-format json 2>"$folder/wadi.log" &
wadi=$!
for _ in $(seq 100); do
  address=$(sed -n 's/.*"msg":"ready".*"kafka":"\([^"]*\)".*/\1/p' "$folder/wadi.log")
  [ -z "$address" ] || break
  sleep 0.1
done
[ -n "$address" ] || { cat "$folder/wadi.log" >&2; echo "wadi dev is not ready" >&2; exit 1; }

for chaos in 0 1; do
  echo "== kgo, KGO_TEST_CHAOS=$chaos, $records records"
  began=$SECONDS
  (cd "$source" && KGO_TEST_CHAOS=$chaos KGO_LOG_LEVEL=none KGO_SEEDS=$address KGO_TEST_RF=1 KGO_TEST_RECORDS=$records \
    "$folder/kgo.test" -test.v -test.timeout 20m -test.skip "^($skip)\$" >"$folder/kgo.log" 2>&1) ||
    { tail -c 20000 "$folder/kgo.log"; tail -n 20 "$folder/wadi.log"; grep -E '^ *--- FAIL' "$folder/kgo.log"; exit 1; }
  grep -E '^ *--- SKIP' "$folder/kgo.log" || true
  echo "== $(grep -cE '^--- PASS' "$folder/kgo.log") passed, 0 failed, $((SECONDS - began)) s"
done
