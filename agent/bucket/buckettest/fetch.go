package buckettest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// The servers' versions. They are tools that tests run; nothing links them.
const (
	motoVersion    = "5.2.5"
	minioVersion   = "v0.0.0-20260212201848-7aac2a2c5b7c"
	fakeGCSVersion = "v1.56.1"
)

// motoPackages are what moto's server needs for S3 alone; all it can do is ten times that.
func motoPackages() []string {
	return []string{"moto[s3]==" + motoVersion, "flask==3.1.3", "flask-cors==6.0.5"}
}

// fetched returns a folder of the user's cache in which fetch has succeeded once.
// Test programs that need it at the same time wait for the first.
func fetched(name string, fetch func(dir string) error) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "wadi", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // Unlocks.
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	complete := filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return dir, nil
	}
	if err := fetch(dir); err != nil {
		return "", err
	}
	return dir, os.WriteFile(complete, nil, 0o644)
}

// fetchMoto returns the Python of a virtual environment that holds moto.
func fetchMoto() (string, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", errors.New("python3 is missing, which runs the S3 server of the tests: install it, on Debian and Ubuntu with apt-get install python3 python3-venv")
	}
	dir, err := fetched("moto-"+motoVersion, func(dir string) error {
		if err := command(nil, python, "-m", "venv", "--clear", filepath.Join(dir, "venv")); err != nil {
			return fmt.Errorf("python3 can't make a virtual environment (on Debian and Ubuntu: apt-get install python3-venv): %w", err)
		}
		install := []string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check"}
		if err := command(nil, filepath.Join(dir, "venv", "bin", "python"), append(install, motoPackages()...)...); err != nil {
			return fmt.Errorf("moto can't be fetched from PyPI: %w", err)
		}
		return nil
	})
	return filepath.Join(dir, "venv", "bin", "python"), err
}

// fetchTool builds a program from its module, once.
func fetchTool(path, version string) (string, error) {
	name := filepath.Base(path)
	dir, err := fetched(name+"-"+version, func(dir string) error {
		// GOFLAGS are meant for our own module.
		if err := command([]string{"GOBIN=" + dir, "GOFLAGS="}, "go", "install", path+"@"+version); err != nil {
			return fmt.Errorf("%s can't be built from its module: %w", name, err)
		}
		return nil
	})
	return filepath.Join(dir, name), err
}

func command(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%w: %s", err, strings.Join(lines[max(0, len(lines)-5):], "\n"))
	}
	return nil
}
