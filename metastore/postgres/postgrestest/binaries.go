package postgrestest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// findPostgres returns a folder with initdb and postgres: the newest one
// installed, one on the PATH, or one fetched. dir is the run's own folder.
func findPostgres(dir string) (string, error) {
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(installed, func(a, b string) int { return major(b) - major(a) })
	if postgres, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(postgres); err == nil {
			installed = append(installed, filepath.Dir(real))
		}
	}
	for _, bin := range installed {
		if complete(bin) {
			return bin, nil
		}
	}
	return fetchPostgres(dir)
}

// major reads the 15 of /usr/lib/postgresql/15/bin, 0 if it is no number.
func major(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return n
}

func complete(bin string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(bin, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// fetchPostgres downloads the archive into the user's cache folder once. It is
// unpacked there too, but for root: nobody can't look into root's folders, so
// each run unpacks it into its own.
func fetchPostgres(dir string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "wadi", "postgres")
	unpacked := filepath.Join(cache, string(embeddedpostgres.V18))
	if os.Geteuid() == 0 {
		unpacked = filepath.Join(dir, "postgres")
	}
	bin := filepath.Join(unpacked, "bin")
	if complete(bin) {
		return bin, nil
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	var log bytes.Buffer
	// The library has no call that only fetches. An encoding that initdb refuses
	// ends Start right after it has unpacked the binaries.
	err = embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(embeddedpostgres.V18).Port(uint32(port)).Encoding("none").Logger(&log).
		CachePath(cache).BinariesPath(unpacked).RuntimePath(filepath.Join(dir, "unpack"))).Start()
	if complete(bin) {
		return bin, nil
	}
	return "", fmt.Errorf("no Postgres is installed (apt-get install postgresql), and none could be fetched: %w",
		errors.Join(err, errors.New(log.String())))
}
