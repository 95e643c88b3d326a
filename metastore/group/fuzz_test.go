package group

import (
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/machinetest"
)

// memory is what an input may ask for.
func memory() machinetest.Memory {
	return machinetest.Memory{Factor: 200, Bytes: machinetest.DefaultBytes}
}

func groupEntries() [][]byte { return append(goldenEntries(), consumerEntries()...) }

func FuzzApply(f *testing.F) {
	machinetest.AddEffects(f, groupEntries())
	machinetest.AddEffects(f, migrationEntries())
	machinetest.AddEffects(f, transactionEntries())
	machinetest.AddEffects(f, takenEntries())
	base := kit().Fold(f, groupEntries())
	for i, e := range transactionEntries() {
		machinetest.Effects(f, e, func(kind metastore.EffectKind, body []byte) {
			at := metastore.At{Version: 13 + metastore.Version(i), Header: metastore.Header{Time: 1}}
			if _, err := base.Apply(at, kind, body, false); err != nil {
				f.Fatal(err)
			}
		})
	}
	at := metastore.At{Version: 20, Header: metastore.Header{Term: 1, Number: 20, Time: 20_000}}
	kit().FuzzApply(f, base.AppendSnapshot(nil), at, memory())
}

func FuzzRestore(f *testing.F) {
	kit().FuzzRestore(f, memory(), nil, groupEntries(), migrationEntries(), transactionEntries(), takenEntries())
}
