package apache

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrepare_TellsWhatFailed: the folder gets the properties, and Kafka's (or java's) own words come back.
func TestPrepare_TellsWhatFailed(t *testing.T) {
	folder := t.TempDir()
	bin := filepath.Join(folder, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "java"), []byte("#!/bin/sh\necho \"told $*\"\ntest -e "+folder+"/right\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	_, err := Prepare(context.Background(), "/jars", folder, "cluster", []string{"node.id=1"})
	if err == nil || !strings.Contains(err.Error(), "told -cp /jars/* kafka.tools.StorageTool format -t cluster -c "+folder) {
		t.Errorf("a format that fails: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "right"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Prepare(context.Background(), "/jars", folder, "cluster", []string{"node.id=1"})
	if want := "-cp /jars/* kafka.Kafka " + folder + "/server.properties"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	written, err := os.ReadFile(filepath.Join(folder, "server.properties"))
	if want := "node.id=1\nlog.dirs=" + folder + "/log\n"; err != nil || string(written) != want {
		t.Errorf("%q, %v; want %q", written, err, want)
	}
}
