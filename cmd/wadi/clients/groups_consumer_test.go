package clients

import (
	"maps"
	"slices"
	"testing"
)

// librdkafka and franz-go have the protocol of KIP-848, in which the coordinator
// assigns.
func TestGroups_Consumer(t *testing.T) { checkGroups(t, consumerMembers(t)) }

// consumerMembers are the Go clients as members of groups of that protocol.
func consumerMembers(t *testing.T) []groupClient {
	modern := slices.DeleteFunc(goMembers(t), func(c groupClient) bool { return c.name != "librdkafka" && c.name != "franz-go" })
	for i := range modern {
		modern[i].protocol = "consumer"
		// franz-go 1.22.2 leaves out its instance id when it goes for a while.
		modern[i].static = modern[i].name == "librdkafka"
	}
	return modern
}

// checkUpgrade moves a group under load from the classic protocol to KIP-848's
// and back, a member at a time.
func checkUpgrade(t *testing.T, address string, c groupClient) {
	m := startMembers(t, address, "upgrade-"+c.name)
	current := map[int]*program{}
	shareAll := func() {
		t.Helper()
		members := slices.Collect(maps.Values(current))
		m.share(members...)
		m.progress(members...)
	}
	for _, protocol := range []string{"classic", "consumer", "classic"} {
		c.protocol = protocol
		for i := range 3 {
			if old := current[i]; old != nil {
				old.ask(map[string]any{"do": "leave"})
			}
			current[i] = m.join(c, "", groupSession)
			if len(current) == 3 {
				shareAll()
			}
		}
	}
	m.finish()
}

func TestGroups_Upgrade(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0", groupConfigs()...)
	checkUpgrades(t, address)
}

func checkUpgrades(t *testing.T, address string) {
	for _, c := range goMembers(t) {
		if c.name == "librdkafka" || c.name == "franz-go" {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				checkUpgrade(t, address, c)
			})
		}
	}
}
