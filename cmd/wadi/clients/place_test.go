package clients

import (
	"hash/fnv"
	"strings"
	"testing"
)

// place is where a client finds the cluster, and who it says it is.
type place struct{ bootstrap, clientID string }

// clientID is that of every client; one in a zone says so behind it.
const clientID = "wadi-tests"

// brokersAt is how many agents there are at an address.
func brokersAt(address string) int { return strings.Count(address, ",") + 1 }

// placeOf is a client's place at an address: HOST:PORT of an agent, or HOST:PORT=ZONE of
// several, separated by commas. Among several it is drawn, the same in each run, by the
// test and the client: clients of one test are in different zones, and know one agent each.
func placeOf(t *testing.T, address, client string) place {
	all := strings.Split(address, ",")
	h := fnv.New32a()
	h.Write([]byte(t.Name() + " " + client))
	bootstrap, zone, several := strings.Cut(all[h.Sum32()%uint32(len(all))], "=")
	if !several {
		return place{bootstrap, clientID}
	}
	return place{bootstrap, clientID + ",zone=" + zone}
}
