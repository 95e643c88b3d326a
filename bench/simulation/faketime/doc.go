// Package faketime builds the simulation so that a seed replays, and runs seeds.
//
// Does: give the compiler a few changed lines of Go's runtime (edits.go), so that a
// program's time jumps to its next timer when nothing can run, its randomness is drawn
// from its first argument, and its goroutines take turns in one order; run seeds as
// processes, several at once, twice if asked, and tell what they printed.
//
// Does not: change the Go that is installed (go build -overlay), nor know what a
// program simulates. It needs a Go whose runtime has the lines that it changes: it
// says which one is missing.
//
// Invariants: a seed's process runs one goroutine at a time, on one processor, without
// preemption, and with no garbage collection below memoryMax; what it prints is the same each
// time, which Options.Twice compares.
//
// On failure of a seed it goes on with the others; a program that crashes, hangs or
// prints no result counts as one that found something.
//
// Start at Build (build.go), then Run (run.go).
package faketime
