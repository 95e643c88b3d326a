package transaction

import (
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/machinetest"
)

// memory is what an input may ask for.
func memory() machinetest.Memory {
	return machinetest.Memory{Factor: 200, Bytes: machinetest.DefaultBytes}
}

func FuzzApply(f *testing.F) {
	machinetest.AddEffects(f, goldenEntries())
	at := metastore.At{Version: 20, Header: metastore.Header{Term: 1, Number: 20, Time: 20_000}}
	kit().FuzzApply(f, kit().Fold(f, goldenEntries()).AppendSnapshot(nil), at, memory())
}

func FuzzRestore(f *testing.F) { kit().FuzzRestore(f, memory(), nil, goldenEntries()) }
