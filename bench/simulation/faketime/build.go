package faketime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// program is what is built: the simulation of one seed.
const program = "./bench/simulation/seed"

// Build builds the simulation under the runtime's edits and further ones, and returns
// the program's path, in dir. It works within the module, with the go of PATH.
func Build(ctx context.Context, dir string, further ...Edit) (string, error) {
	root, goRoot, err := roots(ctx)
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "linux" {
		return "", errors.New("the simulation runs on Linux only")
	}
	files, err := changedFiles(append(runtimeEdits(), further...), root, goRoot)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, fmt.Sprintf("%d-%s", len(replace), filepath.Base(file)))
		if err := os.WriteFile(path, files[file], 0o644); err != nil {
			return "", err
		}
		replace[file] = path
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlayPath := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayPath, overlay, 0o644); err != nil {
		return "", err
	}
	built := filepath.Join(dir, "seed")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "faketime", "-overlay", overlayPath, "-o", built, program)
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the simulation: %w\n%s", err, text)
	}
	return built, nil
}

// roots are the folders of the module and of Go.
func roots(ctx context.Context) (module, goRoot string, err error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD", "GOROOT").Output()
	if err != nil {
		return "", "", fmt.Errorf("go env: %w", err)
	}
	mod, goRoot, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return filepath.Dir(mod), goRoot, nil
}

// changedFiles returns the files with the edits made, by their full names.
func changedFiles(edits []Edit, module, goRoot string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, e := range edits {
		file := filepath.Join(module, e.File)
		if within, ok := strings.CutPrefix(e.File, goroot); ok {
			file = filepath.Join(goRoot, "src", within)
		}
		content, ok := files[file]
		if !ok {
			var err error
			if content, err = os.ReadFile(file); err != nil {
				return nil, err
			}
		}
		if n := bytes.Count(content, []byte(e.Old)); n != 1 {
			return nil, fmt.Errorf("%s has %d places, not one, for %q", e.File, n, e.Old)
		}
		files[file] = bytes.Replace(content, []byte(e.Old), []byte(e.New), 1)
	}
	return files, nil
}

// Check tells whether the edits have their places in the sources.
func Check(ctx context.Context, edits ...Edit) error {
	root, goRoot, err := roots(ctx)
	if err != nil {
		return err
	}
	_, err = changedFiles(edits, root, goRoot)
	return err
}
