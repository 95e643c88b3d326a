// Command bench measures what Wadi costs beside its floor and beside its peers; README.md
// says how, and how to read the figures.
//
//	go run ./bench run -rows W1,W3 -systems floor,wadi     measure, print, keep the samples
//	go run ./bench compare BEFORE.json AFTER.json          what became worse
//
// It does: start systems, run rows on them in pairs, throw away what others disturbed, print.
//
// It does not: decide what a row is (package workload), make load (package load), or read
// clocks of processes (package measure).
//
// On failure: it says which run of which row failed, and ends what it started.
//
// Start reading at main.go and run.go.
package main
