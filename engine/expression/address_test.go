package expression_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The answers are those of the documentation of ansible.utils.ipaddr.
func TestAddresses(t *testing.T) {
	for source, want := range map[string]any{
		"'192.0.2.1/24' | ipaddr('address')": "192.0.2.1", "'192.0.2.1/24' | ipaddr('network')": "192.0.2.0", "'192.0.2.1/24' | ipaddr('prefix')": 24,
		"'192.0.2.1/24' | ipaddr('netmask')": "255.255.255.0", "'192.0.2.1/24' | ipaddr('broadcast')": "192.0.2.255", "'192.0.2.1/24' | ipaddr('hostmask')": "0.0.0.255",
		"'192.0.2.1/255.255.255.0' | ipaddr('prefix')": 24, "'192.0.2.0/24' | ipaddr('address')": nil, "'192.0.2.1' | ipaddr": "192.0.2.1", "'nonsense' | ipaddr": false, "'' | ipaddr": false,
		"'192.0.2.1/24' | ipaddr('subnet')": "192.0.2.0/24", "'192.0.2.0/24' | ipaddr('net')": "192.0.2.0/24", "'192.0.2.1/24' | ipaddr('net')": nil, "'192.0.2.1/24' | ipaddr('host/prefix')": "192.0.2.1/24",
		"'192.0.2.0/24' | ipaddr('size')": 256, "'192.0.2.0/24' | ipaddr('1')": "192.0.2.1/24", "'192.0.2.0/24' | ipaddr('-1')": "192.0.2.255/24", "'192.0.2.0/24' | ipaddr(300)": nil,
		"'192.0.2.0/24' | ipaddr('first_usable')": "192.0.2.1", "'192.0.2.0/24' | ipaddr('last_usable')": "192.0.2.254", "'192.0.2.0/24' | ipaddr('range_usable')": "192.0.2.1-192.0.2.254", "'192.0.2.5/24' | ipaddr('next_usable')": "192.0.2.6",
		"'192.168.1.1' | ipaddr('private')": "192.168.1.1", "'192.168.1.1' | ipaddr('public')": false, "'8.8.8.8' | ipaddr('public')": "8.8.8.8", "'127.0.0.1' | ipaddr('loopback')": "127.0.0.1", "'fe80::1' | ipaddr('link-local')": "fe80::1",
		"'192.168.1.1' | ipaddr('192.168.0.0/16')": "192.168.1.1", "'10.0.0.1' | ipaddr('192.168.0.0/16')": false, "['10.0.0.1', 'x', '::1'] | ipaddr": []any{"10.0.0.1", "::1"}, "['10.0.0.1', '::1'] | ipv4": []any{"10.0.0.1"}, "['10.0.0.1', '::1'] | ipv6": []any{"::1"},
		"'192.0.2.1' | ipaddr('revdns')": "1.2.0.192.in-addr.arpa.", "'::1' | ipwrap": "[::1]", "'host' | ipwrap": "host", "'2001:db8::/32' | ipwrap": "[2001:db8::]/32", "'192.0.2.1' | ipaddr('int')": 3221225985, "3221225985 | ipaddr": "192.0.2.1", "'::1' | ipaddr('version')": 6,
		"'192.0.2.1' | ipmath(5)": "192.0.2.6", "'192.168.0.0/16' | ipsubnet(20)": "16", "'192.168.0.0/16' | ipsubnet(20, 0)": "192.168.0.0/20", "'192.168.0.0/16' | ipsubnet(20, -1)": "192.168.240.0/20", "'192.168.144.5' | ipsubnet(20)": "192.168.144.0/20", "'10.0.0.0/8' | nthhost(305)": "10.0.1.49",
		"'10.0.0.0/8' | network_in_network('10.1.0.0/16')": true, "'10.0.0.0/24' | network_in_usable('10.0.0.255')": false, "['10.0.0.1', '11.0.0.1'] | reduce_on_network('10.0.0.0/8')": []any{"10.0.0.1"}, "'192.0.2.1/24' | ansible.utils.ipaddr('type')": "address",
		"'2001:db8::/64' | ipaddr('size')": "18446744073709551616", "'10.0.0.1/31' | ipaddr('first_usable')": "10.0.0.0", "'1.2.3.4/24' | ipaddr('ip_netmask')": "1.2.3.4 255.255.255.0",
	} {
		t.Run(source, func(t *testing.T) {
			got, err := evaluate(t, source)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if _, err := evaluate(t, "'10.0.0.1' | ipaddr('adress')"); err == nil {
		t.Error("an unknown query was accepted")
	}
}
