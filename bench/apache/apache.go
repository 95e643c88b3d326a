package apache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Prepare writes a node's properties, a line each, into a folder that exists, and formats its logs
// there. It returns the arguments of java that run the node, behind those of the JVM. clusterID has 22 letters.
func Prepare(ctx context.Context, jars, folder, clusterID string, lines []string) (arguments []string, err error) {
	lines = append(lines, "log.dirs="+filepath.Join(folder, "log"))
	properties := filepath.Join(folder, "server.properties")
	if err := os.WriteFile(properties, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	classpath := filepath.Join(jars, "*")
	format := exec.CommandContext(ctx, "java", "-cp", classpath, "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", properties)
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's folder: %w\n%s", err, out)
	}
	return []string{"-cp", classpath, "kafka.Kafka", properties}, nil
}

// FreePort is below the ports that the system gives to outgoing connections: what a node tells its
// clients has to be known before it listens.
func FreePort() (int, error) {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000)))
		if err != nil {
			continue
		}
		defer l.Close()
		return l.Addr().(*net.TCPAddr).Port, nil
	}
	return 0, errors.New("no free port")
}
