package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/wadi-io/wadi"

// layerTable is which of our top folders a top folder may import: imports point
// one way. bench proves and measures, so tests of any layer may import it too.
func layerTable() map[string][]string {
	return map[string][]string{
		"wire":       {"wire"},
		"metastore":  {"wire", "metastore"},
		"agent":      {"wire", "metastore", "agent"},
		"compaction": {"wire", "metastore", "compaction"},
		"bench":      {"wire", "metastore", "agent", "compaction", "bench"},
		"cmd":        {"wire", "metastore", "agent", "compaction", "bench", "cmd"},
	}
}

// home is where a third-party library may be imported. tests are homes for
// _test.go files and packages for tests.
type home struct {
	library string // an import path, or its beginning
	code    []string
	tests   []string
}

// homeTable is each library's home. The longest library that fits counts.
func homeTable() []home {
	return []home{
		{"github.com/aws/aws-sdk-go-v2", []string{"agent/bucket"}, nil},
		{"github.com/aws/smithy-go", []string{"agent/bucket"}, nil},
		{"cloud.google.com/go/storage", []string{"agent/bucket"}, nil},
		{"gocloud.dev", []string{"agent/bucket"}, nil},
		{"github.com/jackc/pgx/v5", []string{"metastore/postgres"}, []string{"metastore", "agent", "cmd"}},
		{"modernc.org/sqlite", []string{"metastore/sqlite"}, nil},
		{"github.com/fergusstrange/embedded-postgres", []string{"metastore/postgres"}, []string{"metastore", "agent", "cmd"}},
		{"github.com/apache/arrow/go/v17/parquet", []string{"compaction", "bench/simulation"}, nil},
		{"github.com/twmb/franz-go/pkg/kmsg", []string{"wire", "agent/broker", "bench/differential", "bench/load", "bench/simulation"}, []string{"agent", "cmd"}},
		{"github.com/twmb/franz-go/pkg/kbin", []string{"wire"}, nil},
		{"github.com/twmb/franz-go/pkg/kerr", []string{"wire", "agent/broker", "cmd", "bench/simulation"}, []string{"agent"}},
		{"github.com/twmb/franz-go/pkg/kgo", []string{"cmd", "bench"}, []string{"wire", "agent"}},
		{"github.com/twmb/franz-go/pkg/kversion", []string{"bench/simulation"}, nil},
		{"github.com/twmb/franz-go/pkg/kadm", []string{"cmd", "bench"}, []string{"agent"}},
		{"github.com/klauspost/compress", []string{"wire/batch", "compaction/archive"}, []string{"wire"}},
		{"github.com/pierrec/lz4/v4", []string{"wire/batch"}, []string{"wire"}},
		{"github.com/prometheus/", []string{"agent"}, []string{"cmd"}},
		{"github.com/xdg-go/scram", []string{"agent/broker"}, []string{"cmd"}},
		{"github.com/google/uuid", []string{"agent", "metastore", "cmd"}, nil},
		{"github.com/urfave/cli/v2", []string{"cmd"}, nil},
		{"github.com/mattn/go-isatty", []string{"cmd"}, nil},
		{"gopkg.in/yaml.v3", []string{"cmd"}, nil},
		{"golang.org/x/sync", []string{"wire", "metastore", "agent", "compaction", "cmd", "bench"}, nil},
		{"golang.org/x/sys", []string{"agent", "metastore", "wire", "cmd"}, nil},
		{"go.opentelemetry.io/otel", []string{"agent/trace"}, nil},
		{"go.opentelemetry.io/proto/otlp", []string{"agent/trace/tracetest"}, nil},
		{"google.golang.org/protobuf", []string{"agent/trace/tracetest"}, nil},
		{"golang.org/x/time", []string{"agent", "metastore", "compaction", "bench"}, nil},
	}
}

// source is one parsed Go file of the module.
type source struct {
	path   string // within the module, with slashes
	parsed *ast.File
}

func (s source) folder() string { return filepath.ToSlash(filepath.Dir(s.path)) }
func (s source) top() string    { top, _, _ := strings.Cut(s.path, "/"); return top }

// isTest: test files, and packages for tests such as journaltest.
func (s source) isTest() bool {
	return strings.HasSuffix(s.path, "_test.go") || strings.HasSuffix(s.folder(), "test")
}

func (s source) imports() []string {
	var paths []string
	for _, spec := range s.parsed.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

// sources are the module's Go files; folders with a go.mod of their own are
// other modules.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var files []source
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path == root {
				return nil
			}
			_, nested := os.Stat(filepath.Join(path, "go.mod"))
			if nested == nil || strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		within, err := filepath.Rel(root, path)
		files = append(files, source{filepath.ToSlash(within), parsed})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d Go files found: this test looks in the wrong place", len(files))
	}
	return files
}

func within(folder string, homes []string) bool {
	return slices.ContainsFunc(homes, func(home string) bool {
		return folder == home || strings.HasPrefix(folder, home+"/")
	})
}

func homeOf(path string) (home, bool) {
	var best home
	for _, h := range homeTable() {
		fits := path == h.library || strings.HasPrefix(path, strings.TrimSuffix(h.library, "/")+"/")
		if fits && len(h.library) > len(best.library) {
			best = h
		}
	}
	return best, best.library != ""
}

// wrongImport says why a file may not import a path, or "".
func wrongImport(folder string, test bool, path string) string {
	top, _, _ := strings.Cut(folder, "/")
	first, _, _ := strings.Cut(path, "/")
	switch ours, isOurs := strings.CutPrefix(path, module+"/"); {
	case isOurs:
		target, _, _ := strings.Cut(ours, "/")
		if strings.HasPrefix(folder, "bench/history") && !strings.HasPrefix(ours, "bench/history") && !test {
			return "bench/history imports nothing of ours"
		}
		if !slices.Contains(layerTable()[top], target) && !(test && target == "bench") {
			return fmt.Sprintf("%s may import %v of ours only", top, layerTable()[top])
		}
	case path == module || !strings.Contains(first, "."): // the module's root has no package; the rest is Go's own library
		return ""
	default:
		h, known := homeOf(path)
		if !known {
			return "the library has no home in homeTable"
		}
		if !within(folder, h.code) && !(test && within(folder, h.tests)) {
			return fmt.Sprintf("the library's home is %v", h.code)
		}
	}
	return ""
}

func TestImports_PointOneWayAndLibrariesStayHome(t *testing.T) {
	for _, file := range sources(t) {
		if _, known := layerTable()[file.top()]; !known {
			t.Errorf("%s: the top folder %s is not in the layout", file.path, file.top())
			continue
		}
		for _, path := range file.imports() {
			if why := wrongImport(file.folder(), file.isTest(), path); why != "" {
				t.Errorf("%s imports %s: %s", file.path, path, why)
			}
		}
	}
}

// The table itself must refuse what it is there to refuse.
func TestImports_TableRefuses(t *testing.T) {
	for _, row := range []struct {
		folder string
		test   bool
		path   string
		wrong  bool
	}{
		{"wire", false, module + "/metastore", true},
		{"wire/batch", false, module + "/wire", false},
		{"metastore", false, module + "/agent/ingest", true},
		{"agent/ingest", false, module + "/cmd/wadi", true},
		{"agent", false, module + "/compaction", true},
		{"agent/ingest", false, module + "/bench/history", true},
		{"agent/ingest", true, module + "/bench/history", false},
		{"bench/history", false, module + "/wire", true},
		{"metastore", false, "github.com/jackc/pgx/v5/pgxpool", true},
		{"metastore/postgres", false, "github.com/jackc/pgx/v5/pgxpool", false},
		{"metastore/postgresque", false, "github.com/jackc/pgx/v5", true},
		{"agent/fetch", false, "github.com/twmb/franz-go/pkg/kmsg", true},
		{"agent/broker", false, "github.com/twmb/franz-go/pkg/kmsg", false},
		{"wire", false, "github.com/urfave/cli/v2", true},
		{"wire", false, "example.com/new", true},
		{"wire", false, "encoding/json", false},
	} {
		if got := wrongImport(row.folder, row.test, row.path) != ""; got != row.wrong {
			t.Errorf("%s importing %s (test: %v): refused is %v", row.folder, row.path, row.test, got)
		}
	}
}

// Flags and environment are read here only, and nothing runs before main.
func TestSources_NoInitAndNoEnvironmentOutsideCmd(t *testing.T) {
	for _, file := range sources(t) {
		if file.isTest() {
			continue
		}
		for _, declaration := range file.parsed.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", file.path)
			}
		}
		if file.top() == "cmd" || file.top() == "bench" {
			continue
		}
		if slices.Contains(file.imports(), "flag") {
			t.Errorf("%s reads flags; cmd does", file.path)
		}
		ast.Inspect(file.parsed, func(node ast.Node) bool {
			call, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if from, ok := call.X.(*ast.Ident); ok && from.Name == "os" && slices.Contains([]string{"Getenv", "LookupEnv", "Environ"}, call.Sel.Name) {
				t.Errorf("%s reads the environment; cmd does", file.path)
			}
			return true
		})
	}
}
