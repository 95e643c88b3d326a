package faketime

// Edit replaces a text that a file has exactly once.
type Edit struct {
	File     string // within the module, or within Go's own sources where it begins with goroot
	Old, New string
}

// goroot begins the name of a file of Go's own sources.
const goroot = "$GOROOT/src/"

// runtimeEdits is the one list of what is different in the runtime. The build tag faketime,
// made for Go's playground, gives the jumping clock; the rest makes the order of everything a
// function of the first argument.
func runtimeEdits() []Edit {
	return []Edit{
		// A look at the clock costs 50 ns, so that a loop that waits for time to pass ends;
		// the runtime's own looks cost nothing.
		{goroot + "runtime/time_fake.go", "var faketime int64 = 1257894000000000000", "var faketime int64 = 1_800_000_000_000_000_000"},
		{goroot + "runtime/time_fake.go", "\treturn faketime / 1e9,", "\tfaketime += 50\n\treturn faketime / 1e9,"},
		{goroot + "runtime/time.go", "\t\treturn gp.bubble.now\n\t}\n\treturn nanotime()\n", "\t\treturn gp.bubble.now\n\t}\n\tfaketime += 50\n\treturn nanotime()\n"},
		{goroot + "runtime/proc.go", "\t\t\tfaketime = when\n", "\t\t\tfaketime = max(faketime, when)\n"},

		// Output is written as it is, without the playground's headers.
		{goroot + "runtime/time_fake.go", "\tif !(fd == 1 || fd == 2) {", "\tif true {"},
		{goroot + "syscall/time_fake.go", "const faketime = true", "const faketime = false"},

		// No thread looks after the others: it would take processors away by real time.
		{goroot + "runtime/proc.go", `const haveSysmon = GOARCH != "wasm"`, "const haveSysmon = false"},

		// The main goroutine isn't tied to its thread while the program begins: a second
		// thread, or a third if that one isn't there yet, would run the others.
		{goroot + "runtime/proc.go", "\t// to preserve the lock.\n\tlockOSThread()\n", "\t// to preserve the lock.\n"},
		{goroot + "runtime/proc.go", "\tneedUnlock := true\n", "\tneedUnlock := false\n"},
		{goroot + "runtime/proc.go", "\tneedUnlock = false\n\tunlockOSThread()\n", "\tneedUnlock = false\n"},

		// Whenever nothing can run, the runtime would look at all goroutines for a deadlock.
		{goroot + "runtime/proc.go", "\tgrunning := 0\n\tforEachG(func(gp *g) {", "\tgrunning := 1\n\tpass := func(func(*g)) {}\n\tpass(func(gp *g) {"},

		// Randomness begins with the first argument, and is one stream, whichever thread draws.
		{goroot + "runtime/rand.go", "\tlock(&globalRand.lock)\n\tif globalRand.init {\n\t\tfatal(\"randinit twice\")", "\tstartupRand = argumentSeed()\n\tlock(&globalRand.lock)\n\tif globalRand.init {\n\t\tfatal(\"randinit twice\")"},
		{goroot + "runtime/rand.go", "\tmp.chacha8.Init64(seed)\n", "\tmp.chacha8.Init64(seed)\n\tif oneRand.cheap == 0 {\n\t\toneRand.cheap = seed[0]\n\t\toneRand.state.Init64(seed)\n\t}\n"},
		{goroot + "runtime/rand.go", "\tmp := getg().m\n\tc := &mp.chacha8\n", "\tmp := getg().m\n\tc := &mp.chacha8\n\tif mp.p != 0 {\n\t\tc = &oneRand.state\n\t}\n"},
		{goroot + "runtime/rand.go", "\tmp := getg().m\n\t// Implement wyrand", "\tmp := getg().m\n\tif mp.p != 0 {\n\t\toneRand.cheap += 0xa0761d6478bd642f\n\t\thi, lo := math.Mul64(oneRand.cheap, oneRand.cheap^0xe7037ed1a0b428db)\n\t\treturn uint32(hi ^ lo)\n\t}\n\t// Implement wyrand"},
		// Two threads that meet at a lock must not draw.
		{goroot + "runtime/lock_spinbit.go", "cheaprandn(mutexTailWakePeriod) == 0", "cputicks()%mutexTailWakePeriod == 0"},
		{goroot + "runtime/mprof.go", "\tif cheaprandn(gTrackingPeriod) == 0 {\n\t\treturn nanotime()", "\tif false {\n\t\treturn nanotime()"},
		{goroot + "runtime/rand.go", "// rand32 is uint32(rand()), called", `// oneRand is the randomness of whatever holds the processor.
var oneRand struct {
	state chacha8rand.State
	cheap uint64
}

var argumentSeedBytes [16]byte

// argumentSeed is a hash of the first argument.
func argumentSeed() []byte {
	h := uint64(14695981039346656037)
	if argc > 1 {
		for p := argv_index(argv, 1); *p != 0; p = (*byte)(add(unsafe.Pointer(p), 1)) {
			h = (h ^ uint64(*p)) * 1099511628211
		}
	}
	byteorder.BEPutUint64(argumentSeedBytes[:], h)
	byteorder.BEPutUint64(argumentSeedBytes[8:], h|1)
	return argumentSeedBytes[:]
}

// rand32 is uint32(rand()), called`},
		{goroot + "crypto/internal/sysrand/rand.go", "//go:linkname fatal\nfunc fatal(string)\n", "//go:linkname fatal\nfunc fatal(string)\n\n//go:linkname runtimeRand runtime.rand\nfunc runtimeRand() uint64\n"},
		{goroot + "crypto/internal/sysrand/rand_getrandom.go", "func read(b []byte) error {\n", "func read(b []byte) error {\n\tfor i := range b {\n\t\tb[i] = byte(runtimeRand() >> 32)\n\t}\n\treturn nil\n}\n\nfunc readFromKernel(b []byte) error {\n"},
	}
}
