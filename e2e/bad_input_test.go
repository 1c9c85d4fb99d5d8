package e2e

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// badInput is one thing that is wrong, outside or on the nodes.
type badInput struct {
	name string
	// arrange makes it wrong, and puts it right again with t.Cleanup. It returns
	// the arguments of the run.
	arrange func(t *testing.T) []string
	code    int
	texts   []string // what the run must tell: the place, and what to do
}

// TestBadInput holds that what is wrong is told with its place and what to do,
// and that nothing on the nodes was changed.
func TestBadInput(t *testing.T) {
	reset(t)
	for _, bad := range badInputs() {
		t.Run(bad.name, func(t *testing.T) {
			args := bad.arrange(t)
			before := snapshots(t)
			wantFailure(t, rbdplay(t, args...), bad.code, bad.texts...)
			wantUntouched(t, before, snapshots(t))
		})
	}
}

func badInputs() []badInput {
	const failed, unreachable = 2, 4
	stranger := neighbour(200)
	return []badInput{
		{
			"the VIP is outside the subnet", with("-e", "vip=10.99.0.100"),
			failed,
			[]string{"vip 10.99.0.100 is outside " + neighbour(0) + "/24", "compute01"},
		},
		{
			"a stranger has the VIP", strangerAt(stranger),
			failed,
			[]string{"a machine outside this cluster answers at vip " + stranger, "choose a free address"},
		},
		{
			"a node's address is on none of its interfaces", inventory("ansible_host: "+neighbour(12), "node_ip: "+neighbour(99)),
			failed,
			[]string{neighbour(99) + " is on no interface of compute01", "found", neighbour(12), "node_ip"},
		},
		{
			"a node's address is its loopback", inventory("ansible_host: "+neighbour(11), "node_ip: 127.0.0.1"),
			failed,
			[]string{"127.0.0.1 is the loopback of manage01", "node_ip"},
		},
		{
			"a wrong host key", knownHosts(func(lines []string) {
				name, _, _ := strings.Cut(lines[0], " ")
				_, key, _ := strings.Cut(lines[1], " ")
				lines[0] = name + " " + key
			}),
			unreachable,
			[]string{"manage01", neighbour(11), "known_hosts:1", "ssh-keygen"},
		},
		{
			"an unknown host key", knownHosts(func(lines []string) { lines[2] = "" }),
			unreachable,
			[]string{"compute02", neighbour(13), "ssh-keygen"},
		},
		{
			"a wrong key", wrongKey,
			unreachable,
			[]string{"manage01", "root", "id_wrong"},
		},
		{
			"a user without sudo right", guest("-e", "ansible_become_password=guest-word"),
			unreachable,
			[]string{"compute01", "guest is not in the sudoers file", "log in as another user"},
		},
		{
			"no sudo password", guest(),
			unreachable,
			[]string{"compute01", "sudo asks for a password", "ansible_become_password", "NOPASSWD"},
		},
		{
			"region_info lacks the row", region("elsewhere"),
			failed,
			[]string{"console.region_info has no row with region_name rainbond", "set region_name"},
		},
		{
			"many things at once", manyFaults,
			failed,
			[]string{
				"VRRP id 51 is in use on the segment of compute01, by " + neighbour(1) + "; set vrrp_id to another one",
				"VRRP id 51 is in use on the segment of compute02",
				"two compute nodes have the HOST_UUID 13dd8356-1dd2-11b2-a30d-000000821800",
				"compute01 listens on 0.0.0.0:8089 already",
				"compute02 has no image rainbond/rbd-lb:3.6", "docker save rainbond/rbd-lb:3.6 | ssh " + neighbour(13) + " docker load",
				"plugin.yaml runs rbd-entrance 3.5",
				"missing on manage01: /opt/rainbond/compose/ui.yaml",
				"the clocks of the nodes differ by 1", "set up NTP",
				"compute02 runs Gentoo",
				"/data/glusterfs on compute01 has room for", "/grdata holds", "gluster_device",
				"the platform database cannot be asked: the container rbd-db is not running",
			},
		},
		{
			"no multicast between the compute nodes", noMulticast,
			failed,
			[]string{"compute02 does not hear VRRP (IP protocol 112 to 224.0.0.18) of " + neighbour(12), "set vrrp_unicast to true"},
		},
		{
			"the data stays, on the management node", with("-e", "storage=existing"),
			failed,
			[]string{
				"storage is existing, but /grdata of manage01 is no mount", "/grdata of compute01 is " + neighbour(11) + ":/grdata",
				"mount there, on every node, what outlives manage01",
			},
		},
		{
			"a node without power", func(t *testing.T) []string {
				power(t, cluster.Node("compute02").PowerOff)
				return haMinimal()
			},
			unreachable,
			[]string{"compute02", neighbour(13)},
		},
	}
}

// neighbour is an address in the lab's subnet; 0 is the subnet itself.
func neighbour(last int) string {
	ip := cluster.Node("manage01").IP
	return ip[:strings.LastIndexByte(ip, '.')+1] + strconv.Itoa(last)
}

// with is a run with more arguments.
func with(more ...string) func(*testing.T) []string {
	return func(*testing.T) []string { return haMinimal(more...) }
}

// onHost runs a command on the machine that the lab runs on.
func onHost(t *testing.T, argv ...string) string {
	t.Helper()
	// Cleanups use it too, when the test's own context has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out)
	}
	return string(out)
}

// undo runs a command on a node when the test is over.
func undo(t *testing.T, node string, argv ...string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if _, err := cluster.Node(node).Exec(ctx, argv...); err != nil {
			t.Errorf("%s: %v", node, err)
		}
	})
}

// bridge is the host's interface on the lab's segment.
func bridge(t *testing.T) string {
	t.Helper()
	_, route, _ := strings.Cut(onHost(t, "ip", "-o", "route", "get", neighbour(11)), " dev ")
	name, _, _ := strings.Cut(route, " ")
	return name
}

// strangerAt gives the host, which is no node, the address, and makes it the VIP.
func strangerAt(address string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		bridge := bridge(t)
		onHost(t, "ip", "address", "add", address+"/24", "dev", bridge)
		t.Cleanup(func() { onHost(t, "ip", "address", "del", address+"/24", "dev", bridge) })
		return haMinimal("-e", "vip="+address)
	}
}

// inventory is a run with a line of the inventory followed by another, of the same
// indent.
func inventory(line, more string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		text := read(t, cluster.Inventory)
		at := strings.Index(text, line)
		if at < 0 {
			t.Fatalf("the inventory has no %q", line)
		}
		indent := "\n" + text[strings.LastIndexByte(text[:at], '\n')+1:at]
		return runWith(t, strings.Replace(text, line, line+indent+more, 1))
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runWith is a run with an inventory of that text.
func runWith(t *testing.T, text string) []string {
	t.Helper()
	return []string{"run", "ha-minimal", "-i", write(t, "cluster.yml", text)}
}

// knownHosts is a run with other known host keys, in the order of the nodes.
func knownHosts(edit func(lines []string)) func(*testing.T) []string {
	return func(t *testing.T) []string {
		known := filepath.Join(filepath.Dir(cluster.Inventory), "known_hosts")
		lines := strings.Split(read(t, known), "\n")
		edit(lines)
		return runWith(t, strings.ReplaceAll(read(t, cluster.Inventory), known, write(t, "known_hosts", strings.Join(lines, "\n"))))
	}
}

func wrongKey(t *testing.T) []string {
	key := filepath.Join(t.TempDir(), "id_wrong")
	onHost(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	return runWith(t, strings.ReplaceAll(read(t, cluster.Inventory), filepath.Join(filepath.Dir(cluster.Inventory), "id_ed25519"), key))
}

// guest is a run as a user who may not become root.
func guest(more ...string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		for _, n := range cluster.Nodes {
			if _, err := n.ExecInput(t.Context(), []byte("guest:guest-word\n"), "chpasswd"); err != nil {
				t.Fatal(err)
			}
			on(t, n.Name, "runuser", "-u", "guest", "--", "mkdir", "-p", "/home/guest/.cache")
		}
		return haMinimal(append([]string{"-e", "ansible_user=guest", "-e", "ansible_become=true"}, more...)...)
	}
}

// region calls the console's region something else.
func region(name string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		rename := func(from, to string) []string {
			return []string{
				"docker", "exec", "rbd-db", "mysql", "console", "-e",
				"UPDATE region_info SET region_name = '" + to + "' WHERE region_name = '" + from + "'",
			}
		}
		eventually(t, 30*time.Second, func() string { // it may just be starting
			return on(t, "manage01", "sh", "-c", "docker exec rbd-db mysql console -e 'SELECT 1' >/dev/null 2>&1 || echo rbd-db does not answer")
		})
		on(t, "manage01", rename("rainbond", name)...)
		undo(t, "manage01", rename(name, "rainbond")...)
		return haMinimal()
	}
}

// manyFaults are found by one run, which tells all of them.
func manyFaults(t *testing.T) []string {
	advertise(t, 51)
	swap := func(node, path, script string) {
		on(t, node, "sh", "-c", `cp -a "$1" "$1.before" && `+script, "sh", path)
		undo(t, node, "mv", path+".before", path)
	}
	swap("compute02", "/opt/rainbond/envs/kubelet.sh", `sed -i s/^HOST_UUID=.*/HOST_UUID=13dd8356-1dd2-11b2-a30d-000000821800/ "$1"`)
	swap("manage01", "/opt/rainbond/compose/plugin.yaml", `sed -i s/rbd-entrance:3.6/rbd-entrance:3.5/ "$1"`)
	swap("manage01", "/opt/rainbond/compose/ui.yaml", `rm "$1"`)
	swap("compute02", "/usr/lib/os-release", `printf 'ID=gentoo\nNAME=Gentoo\nVERSION_ID=2\n' >"$1"`)
	on(t, "compute01", "sh", "-c", `printf '#!/bin/sh\nexec /bin/date -d "now - 100 seconds" "$@"\n' >/usr/local/bin/date && chmod 755 /usr/local/bin/date`)
	undo(t, "compute01", "rm", "/usr/local/bin/date")
	on(t, "compute01", "systemd-run", "--quiet", "--unit=squatter", "python3", "-m", "http.server", "8089")
	undo(t, "compute01", "systemctl", "stop", "squatter")
	on(t, "compute01", "sh", "-c", "mkdir -p /data && mount -t tmpfs -o size=1m tmpfs /data")
	undo(t, "compute01", "umount", "/data")
	on(t, "manage01", "docker", "stop", "rbd-db")
	undo(t, "manage01", "docker", "start", "rbd-db")
	on(t, "compute02", "sh", "-c", "docker tag rainbond/rbd-lb:3.6 kept:1 && docker rmi rainbond/rbd-lb:3.6")
	undo(t, "compute02", "sh", "-c", "docker tag kept:1 rainbond/rbd-lb:3.6 && docker rmi kept:1")
	eventually(t, 10*time.Second, func() string {
		return on(t, "compute01", "sh", "-c", "ss -Hltn 'sport = :8089' | grep -q . || echo nobody listens")
	})
	return haMinimal()
}

// advertise lets the host be the master of a VRRP router until the test is over.
func advertise(t *testing.T, routerID byte) {
	t.Helper()
	group := net.IPv4(224, 0, 0, 18)
	conn, err := sys.NewReal().Network().Multicast(t.Context(), 112, group, bridge(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if _, err := conn.WriteTo([]byte{0x21, routerID, 100, 0, 0, 1, 0, 0}, &net.IPAddr{IP: group}); err != nil {
				ended <- err
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
		ended <- nil
	}()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, conn.Close()); err != nil {
			t.Error(err)
		}
	})
}

func noMulticast(t *testing.T) []string {
	dropMulticast(t, "compute02")
	return haMinimal()
}

func dropMulticast(t *testing.T, node string) {
	t.Helper()
	rule := []string{"INPUT", "-d", "224.0.0.18", "-j", "DROP"}
	on(t, node, append([]string{"iptables", "-I"}, rule...)...)
	undo(t, node, append([]string{"iptables", "-D"}, rule...)...)
}
