//go:build cluster && languages

package clients

import "testing"

func TestCluster_Languages(t *testing.T) {
	_, address := startCluster(t)
	t.Run("records", func(t *testing.T) { checkLanguagesRecords(t, address) })
	t.Run("round trip", func(t *testing.T) { checkLanguagesRoundTrip(t, address) })
	t.Run("tour", func(t *testing.T) { checkLanguagesTour(t, address) })
}

func TestCluster_LanguagesGroups(t *testing.T) {
	_, address := startCluster(t, groupConfigs()...)
	_, patientAddress := startCluster(t, patientConfigs()...)
	checkGroupsAt(t, address, patientAddress, append(languageMembers(t), languageConsumers(t)...))
}

// The Java consumer that says its rack, and no zone, reads from the agent of its zone.
func TestCluster_LanguagesRack(t *testing.T) {
	agents, address := startCluster(t)
	topic := produceFlights(t, address)
	f := loadFlights(t)
	for _, l := range languages(t) {
		if !l.rack {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			for _, a := range agents {
				checkRack(t, agents, a.Zone, func(bootstrap string) {
					p := runAt(t, l.name, l.command, place{bootstrap, "rack only"})
					defer p.kill()
					read := p.ask(map[string]any{"do": "read", "topic": topic, "since": anyTime, "rack": a.Zone})
					f.check(t, fromWire(t, read.Records), 0)
				})
			}
		})
	}
}
