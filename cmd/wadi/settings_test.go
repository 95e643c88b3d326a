package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func configFileOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wadi.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// settingsIn runs wadi config and returns its lines by name.
func settingsIn(t *testing.T, i invocation, args ...string) map[string]settingLine {
	t.Helper()
	r := i.run(t.Context(), append([]string{"config", "-o", "json"}, args...)...)
	r.want(t, exitDone, "", "")
	lines := map[string]settingLine{}
	for _, text := range strings.Split(strings.TrimSpace(r.stdout), "\n") {
		var line settingLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		lines[line.Setting] = line
	}
	return lines
}

func TestSettings_FlagBeatsVariableBeatsFileBeatsDefault(t *testing.T) {
	path := configFileOf(t, "kafka: 127.0.0.1:1\nhttp: 127.0.0.1:2\ncache: 32MiB\nlog-level: warn\nfrom: latest\n"+
		"config:\n  num.partitions: 3\n  auto.create.topics.enable: false\n  compression.type: zstd\n")
	i := invocation{variables: map[string]string{
		"WADI_CONFIG_FILE": path, "WADI_KAFKA": "127.0.0.1:3", "WADI_HTTP": "", "WADI_LOG_LEVEL": "error",
		"WADI_CONFIG": "num.partitions=5,cleanup.policy=compact,delete\ncompression.type=lz4",
	}}
	lines := settingsIn(t, i, "--kafka", "127.0.0.1:4", "--config", "compression.type=gzip")
	for _, want := range []settingLine{
		{"kafka", "127.0.0.1:4", "flag --kafka"},
		{"http", "", "variable WADI_HTTP"},
		{"log-level", "error", "variable WADI_LOG_LEVEL"},
		{"cache", "32MiB", "file " + path},
		{"dir", "./wadi-data", "default"},
		{"config num.partitions", "5", "variable WADI_CONFIG"},
		{"config cleanup.policy", "compact,delete", "variable WADI_CONFIG"},
		{"config compression.type", "gzip", "flag --config"},
		{"config auto.create.topics.enable", "false", "file " + path},
	} {
		if got := lines[want.Setting]; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestSettings_PasswordsAreNotPrinted(t *testing.T) {
	lines := settingsIn(t, invocation{variables: map[string]string{"WADI_METASTORE": "postgres://wadi:secret@db.example/wadi"}})
	if got := lines["metastore"].Value; got != "postgres://wadi:xxxxx@db.example/wadi" {
		t.Error(got)
	}
}

func TestSettings_ClientTakesTheAgentsAddress(t *testing.T) {
	path := configFileOf(t, "kafka: 0.0.0.0:1\n")
	run(t, "topics", "list", "--config-file", path).want(t, exitFailure, "", "nothing listens on 127.0.0.1:1:")
	run(t, "topics", "list", "--config-file", path, "--server", "127.0.0.1:2").want(t, exitFailure, "", "nothing listens on 127.0.0.1:2:")
}

func TestSettings_FileThatMakesNoSense(t *testing.T) {
	for _, row := range []struct{ text, says string }{
		{"kafka: 127.0.0.1:1\nkafak: x\n", `, line 2: there is no setting "kafak".`},
		{"kafka: [a, b]\n", ", line 1: kafka is not a single value."},
		{"config: 7\n", ", line 1: config is not a map of names to values."},
		{"- a\n", " is not a YAML map of settings: "},
		{"help: true\n", `, line 1: there is no setting "help".`},
		{"a: b: c\n", " is not a YAML map of settings: "},
	} {
		r := run(t, "config", "--config-file", configFileOf(t, row.text))
		if r.code != exitUsage || !strings.Contains(r.stderr, row.says) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%q: code %d, %s", row.text, r.code, r.stderr)
		}
	}
	run(t, "config", "--config-file", configFileOf(t, "")).want(t, exitDone, "default", "")
}

func TestSettings_ValueOfTheWrongKind(t *testing.T) {
	i := invocation{variables: map[string]string{"WADI_PARTITION": "x"}}
	i.run(t.Context(), "consume", "a").want(t, exitUsage, "", `wadi: variable WADI_PARTITION: "x" is not a value for partition.`)
	i = invocation{variables: map[string]string{"WADI_CONFIG": "=x"}}
	i.run(t.Context(), "config").want(t, exitUsage, "", `wadi: variable WADI_CONFIG: "=x" is not NAME=VALUE.`)
}

func TestSplitConfigs(t *testing.T) {
	got, err := splitConfigs("a=1, b=x,y ,z\nc=\n,,")
	want := map[string]string{"a": "1", "b": "x,y ,z", "c": ""}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestParseBytes(t *testing.T) {
	for _, row := range []struct {
		text string
		want int64 // -1: refused
	}{
		{"0", 0}, {"123", 123}, {"123B", 123}, {"256MiB", 256 << 20}, {" 1 GiB ", 1 << 30}, {"2KiB", 2048},
		{"", -1}, {"-1", -1}, {"1.5GiB", -1}, {"1MB", -1}, {"99999999TiB", -1}, {"MiB", -1},
	} {
		got, err := parseBytes(row.text)
		if err != nil {
			got = -1
		}
		if got != row.want {
			t.Errorf("%q: %d, %v; want %d", row.text, got, err, row.want)
		}
		if back, err := parseBytes(bytesText(max(got, 0))); err != nil || back != max(got, 0) {
			t.Errorf("%q: %d does not come back: %d, %v", row.text, got, back, err)
		}
	}
}
