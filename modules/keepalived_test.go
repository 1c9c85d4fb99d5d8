package modules_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

func vrrp(more map[string]any) map[string]any {
	args := map[string]any{
		"name": "rainbond", "address": "10.77.0.12", "priority": 100, "virtual_router_id": 51,
		"virtual_addresses": []any{"10.77.0.10"}, "password": "s3cret", "track_script": "/etc/keepalived/check.sh",
	}
	for name, value := range more {
		if args[name] = value; value == nil {
			delete(args, name)
		}
	}
	return args
}

func newVRRPHost(t *testing.T) *systest.Host {
	host := systest.NewHostInMemory(t)
	host.State.System.Hostname = "compute01"
	host.State.System.Interfaces = []sys.Interface{{Name: "lo", Addresses: []string{"127.0.0.1/8"}}, {Name: "eth1", Addresses: []string{"10.77.0.12/24"}}}
	host.WriteFile("/etc/keepalived/keepalived.conf", "old\n", 0o600)
	return host
}

func TestKeepalived(t *testing.T) {
	host := newVRRPHost(t)
	tried := 0
	host.WriteFile("/usr/sbin/keepalived", "", 0o755)
	host.State.Probes["keepalived -t -f /proc/self/fd/3"] = func(systest.Call) sys.Result {
		tried++
		return sys.Result{}
	}
	out := predicted(t, host, "keepalived", vrrp(map[string]any{"unicast_peers": "10.77.0.13"}))
	wantChanges(t, out, "update /etc/keepalived/keepalived.conf content: (hidden) -> (hidden)")
	if tried != 2 || out.Result["interface"] != "eth1" || out.Result["mode"] != "0600" {
		t.Errorf("tried %d times, result %v", tried, out.Result)
	}
	text := host.ReadFile("/etc/keepalived/keepalived.conf")
	for _, want := range []string{
		"router_id compute01\n", "script \"/etc/keepalived/check.sh\"\n", "state BACKUP\n", "interface eth1\n", "unicast_src_ip 10.77.0.12\n    unicast_peer {\n        10.77.0.13\n    }\n",
		"auth_pass s3cret\n", "virtual_ipaddress {\n        10.77.0.10\n    }\n", "track_script {\n        rainbond_check\n    }\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	host.State.Probes["keepalived -t -f /proc/self/fd/3"] = systest.Says(3, "Unknown keyword")
	out = run(t, host, "keepalived", vrrp(map[string]any{"priority": 50}))
	wantFailure(t, out, "refused the new content")
	if strings.Contains(out.Message, "s3cret") {
		t.Errorf("the password stands in %q", out.Message)
	}
	wantFailure(t, run(t, host, "keepalived", vrrp(map[string]any{"address": "10.9.9.9"})), "eth1 10.77.0.12/24")
	wantFailure(t, run(t, host, "keepalived", vrrp(map[string]any{"address": nil, "interface": "eth7"})), "no interface eth7")
}

func TestKeepalivedRefuses(t *testing.T) {
	for name, value := range map[string]any{
		"priority": 255, "virtual_router_id": 0, "password": "much too long", "track_script": `/x "y`, "name": "a b", "interface": "eth0",
		"virtual_addresses": []any{"10.0.0.300"}, "unicast_peers": "fe80::1", "validate": "keepalived -t",
	} {
		refused(t, "keepalived", vrrp(map[string]any{name: value}))
	}
	refused(t, "keepalived", vrrp(map[string]any{"state": "MASTER", "nopreempt": true}))
	if text := refused(t, "keepalived", vrrp(map[string]any{"password": "a}\nb"})); strings.Contains(text, "a}") {
		t.Errorf("the password stands in %q", text)
	}
}

// What the module writes is what keepalived reads, where that is installed.
func TestKeepalivedItself(t *testing.T) {
	if _, err := exec.LookPath("keepalived"); err != nil {
		t.Skip("keepalived is not installed")
	}
	root := modulestest.Dir(t)
	script := root + "/check.sh"
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	args := vrrp(map[string]any{"path": root + "/keepalived.conf", "address": nil, "interface": "lo", "track_script": script})
	wantStatus(t, modulestest.Predicted(t, decoded(t, "keepalived", args), sys.NewReal(), root), modules.Changed)
}

func TestLawKeepalived(t *testing.T) {
	spec, _ := registry(t).Find("keepalived")
	law(t, "keepalived", plantText("! Written", "x"), func(t *rapid.T, root string) map[string]any {
		args := map[string]any{"path": root + "/conf", "interface": "lo", "priority": some(t, "priority", 100, 50), "virtual_router_id": 7, "virtual_addresses": some(t, "vip", "10.0.0.1", "10.0.0.1/24"), "validate": ""}
		if rapid.Bool().Draw(t, "there already") {
			m, _ := spec.Decode(args, modulestest.Contents{})
			modules.Run(t.Context(), m, sys.NewReal(), modules.Emit{})
		}
		return given(t, args, map[string][]any{"mode": {"0600"}, "backup": {true}, "password": {"abc"}, "nopreempt": {true}})
	})
}
