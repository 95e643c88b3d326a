package cluster

import (
	"net"
	"testing"
)

func TestSaidZone(t *testing.T) {
	for id, want := range map[string]string{
		"":                       "",
		"app":                    "",
		"zone=a":                 "a",
		"app,zone=eu-1a":         "eu-1a",
		"app;zone=a;x=y":         "a",
		"app zone=a other":       "a",
		"app&zone=a&x":           "a",
		"app,warpstream_az=b":    "b",
		"diskless_az=c,app":      "c",
		"zone=a,warpstream_az=b": "a",
		"zone=,diskless_az=c":    "c",
		"my_zone=a":              "",
		"timezone=a":             "",
		"app-zone=a":             "",
		"zone=a=b":               "a=b",
	} {
		if got := SaidZone(id); got != want {
			t.Errorf("%q says %q, want %q", id, got, want)
		}
	}
}

func TestNetworks(t *testing.T) {
	networks, err := ParseNetworks("10.0.0.0/8=wide, 10.0.1.0/24=a,2001:db8::/32=six , 10.0.1.7/32=one")
	if err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]string{
		"10.0.1.5": "a", "10.0.1.7": "one", "10.9.9.9": "wide", "192.168.0.1": "", "2001:db8::1": "six", "::1": "", "::ffff:10.0.1.5": "a",
	} {
		if got := networks.Zone(&net.TCPAddr{IP: net.ParseIP(ip), Port: 1}); got != want {
			t.Errorf("%s is of zone %q, want %q", ip, got, want)
		}
	}
	if got := networks.Zone(&net.UnixAddr{}); got != "" {
		t.Errorf("a socket in the file system is of zone %q", got)
	}
	for _, bad := range []string{"10.0.0.0/8", "10.0.0.0/8=", "10.0.0.0=a", "x=a", "10.0.0.1/8=a,10.0.0.2/8=b", "::ffff:10.0.0.0/104=a"} {
		if _, err := ParseNetworks(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if none, err := ParseNetworks(""); err != nil || len(none) != 0 {
		t.Errorf("nothing is %v, %v", none, err)
	}
}
