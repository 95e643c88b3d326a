package simulation

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	packageOfTests = regexp.MustCompile("^[ ;]*([a-z][a-z0-9/]*) `")
	testName       = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")
	faultName      = regexp.MustCompile(`\*([^*]+)\*`)
)

// zombie is the one fault that clients make for themselves (transact.go).
const zombie = "zombie"

// Each row of the failure table must name what exercises it, and all that is named must be there.
func TestCoverage_NamesWhatIsThere(t *testing.T) {
	known := map[string]bool{zombie: true}
	for _, f := range faults() {
		known[f.name] = true
	}
	text, err := os.ReadFile("COVERAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| ") || strings.TrimSpace(cells[len(cells)-1]) == "in tests" {
			continue
		}
		rows++
		tests := 0
		for of := range strings.SplitSeq(cells[len(cells)-1], ";") {
			in := packageOfTests.FindStringSubmatch(of)
			if in == nil {
				t.Errorf("%q names no package", of)
				continue
			}
			for _, name := range testName.FindAllStringSubmatch(of, -1) {
				tests++
				if !hasTest(t, filepath.Join("..", "..", in[1]), name[1]) {
					t.Errorf("%s has no %s", in[1], name[1])
				}
			}
		}
		if tests == 0 {
			t.Errorf("no test exercises %q", cells[0])
		}
		for _, fault := range faultName.FindAllStringSubmatch(cells[len(cells)-2], -1) {
			if !known[fault[1]] {
				t.Errorf("the simulation has no fault %q", fault[1])
			}
		}
	}
	if rows < 30 {
		t.Errorf("%d rows were found", rows)
	}
	for name := range known {
		if !strings.Contains(string(text), "*"+name+"*") {
			t.Errorf("the fault %q is in no row", name)
		}
	}
}

// hasTest tells whether a folder's tests have one of that name.
func hasTest(t *testing.T, folder, name string) bool {
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T) {") {
			return true
		}
	}
	return false
}
