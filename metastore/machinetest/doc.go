// Package machinetest tests the state machines of journals.
//
// It does: tell histories of entries and states in words beside their bytes, and compare
// them with golden files (-update writes these anew); fuzz the folding of effects and the
// restoring of snapshots.
//
// It does not: know any machine. Each one's package brings the histories, and tests
// what its effects mean.
//
// Invariants: what is told depends on the bytes only, so a golden file that differs says
// that entries which were written once fold otherwise now.
//
// On failure: the test fails and prints both texts.
//
// Start reading at Kit, then Kit.Golden.
package machinetest
