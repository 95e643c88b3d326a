package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// zoneKeys are the names under which client ids say a zone, ours first; the others
// are those of systems that clients may come from.
func zoneKeys() [3]string { return [3]string{"zone", "warpstream_az", "diskless_az"} }

// SaidZone returns the zone that a client id says: zone=NAME, warpstream_az=NAME or
// diskless_az=NAME, at its begin or after a comma, semicolon, ampersand or blank, up
// to the next of them. The first one counts; "" if it says none.
func SaidZone(clientID string) string {
	if !strings.Contains(clientID, "=") {
		return ""
	}
	parts := strings.FieldsFunc(clientID, func(r rune) bool { return strings.ContainsRune(",;& \t", r) })
	for _, part := range parts {
		key, zone, _ := strings.Cut(part, "=")
		for _, known := range zoneKeys() {
			if key == known && zone != "" {
				return zone
			}
		}
	}
	return ""
}

// Networks say the zones of clients by their addresses.
type Networks []Network

// Network is one of them.
type Network struct {
	Prefix netip.Prefix
	Zone   string
}

// ParseNetworks reads a list such as 10.0.1.0/24=a,10.0.2.0/24=b.
func ParseNetworks(list string) (Networks, error) {
	var all Networks
	for _, pair := range strings.Split(list, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		cidr, zone, ok := strings.Cut(pair, "=")
		if zone = strings.TrimSpace(zone); !ok || zone == "" {
			return nil, fmt.Errorf("%q is not NETWORK=ZONE", pair)
		}
		prefix, err := netip.ParsePrefix(strings.TrimSpace(cidr))
		if err != nil {
			return nil, fmt.Errorf("%q is not a network such as 10.0.1.0/24: %w", cidr, err)
		}
		if prefix.Addr().Is4In6() {
			return nil, errors.New("write an IPv4 network as one: " + cidr)
		}
		all = append(all, Network{prefix.Masked(), zone})
	}
	// The narrowest that fits counts.
	slices.SortStableFunc(all, func(a, b Network) int { return cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()) })
	for i := 1; i < len(all); i++ {
		if all[i].Prefix == all[i-1].Prefix {
			return nil, fmt.Errorf("the network %v is named twice", all[i].Prefix)
		}
	}
	return all, nil
}

// Zone returns the zone of an address, "" if none of the networks has it.
func (n Networks) Zone(address net.Addr) string {
	tcp, ok := address.(*net.TCPAddr)
	if !ok || len(n) == 0 {
		return ""
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, network := range n {
		if network.Prefix.Contains(ip) {
			return network.Zone
		}
	}
	return ""
}
