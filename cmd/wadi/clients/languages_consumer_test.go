//go:build languages

package clients

import "testing"

// Those that have KIP-848's protocol, in it.
func TestLanguages_Consumer(t *testing.T) { checkGroups(t, languageConsumers(t)) }

func languageConsumers(t *testing.T) []groupClient {
	var all []groupClient
	for _, l := range languages(t) {
		if l.consumer {
			all = append(all, groupClient{l.name, l.command, "consumer", l.static})
		}
	}
	return all
}

func TestLanguages_Upgrade(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0", groupConfigs()...)
	for _, l := range languages(t) {
		if l.consumer {
			t.Run(l.name, func(t *testing.T) { checkUpgrade(t, address, groupClient{name: l.name, command: l.command}) })
		}
	}
}
