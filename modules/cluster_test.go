package modules_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// recorded reads what a real program has printed.
func recorded(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "recorded", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const gluster = "gluster --mode=script --xml "

// glusterHost is a member of a pool. Its volume and peers live in volume and peers.
type glusterHost struct {
	*systest.Host
	peers, volume string // recorded outputs
}

func newGluster(t *testing.T) *glusterHost {
	h := &glusterHost{Host: systest.NewHostInMemory(t), peers: "gluster_peer_status_none.xml", volume: "gluster_volume_info_none.xml"}
	h.State.System.Hostname = "compute01"
	h.State.System.Interfaces = []sys.Interface{{Name: "host0", Addresses: []string{"10.77.0.12/24"}}}
	h.State.Names = map[string][]string{"compute01": {"10.77.0.12"}, "compute02": {"10.77.0.13"}, "storage2": {"10.77.0.13"}}
	h.State.Units["glusterd.service"] = sys.Unit{Load: "loaded", Active: "active", Sub: "running", File: "enabled"}
	h.State.Probes[gluster+"peer status"] = func(systest.Call) sys.Result { return sys.Result{Stdout: []byte(recorded(t, h.peers))} }
	h.State.Probes[gluster+"volume info data"] = func(systest.Call) sys.Result { return sys.Result{Stdout: []byte(recorded(t, h.volume))} }
	return h
}

// becomes says which output a command has, and what is seen afterwards.
func (h *glusterHost) becomes(t *testing.T, command, output string, then func()) {
	h.State.Runs[gluster+command] = func(systest.Call) sys.Result {
		then()
		return sys.Result{Stdout: []byte(recorded(t, output))}
	}
}

func TestGlusterPeer(t *testing.T) {
	h := newGluster(t)
	h.becomes(t, "peer probe compute02", "gluster_peer_probe.xml", func() { h.peers = "gluster_peer_status_one.xml" })
	out := agreed(t, h.Host, "gluster_peer", map[string]any{"hosts": []any{"compute01", "10.77.0.12", "compute02"}})
	wantChanges(t, out, "create gluster peer compute02 state: (absent) -> Peer in Cluster")
	want := []any{map[string]any{"hostname": "compute02", "connected": true, "state": "Peer in Cluster"}}
	if diff := cmp.Diff(want, out.Result["peers"]); diff != "" {
		t.Error(diff)
	}
	wantStatus(t, agreed(t, h.Host, "gluster_peer", map[string]any{"hosts": "storage2"}), modules.OK)
}

func TestGlusterPeerFailures(t *testing.T) {
	h := newGluster(t)
	args := map[string]any{"hosts": "compute02"}
	h.becomes(t, "peer probe compute02", "gluster_peer_probe_fails.xml", func() {})
	wantFailure(t, run(t, h, "gluster_peer", args), "Transport endpoint is not connected; does glusterd run there")
	h.peers = "gluster_peer_status_rejected.xml"
	wantFailure(t, run(t, h, "gluster_peer", args), "is rejected by the pool")
	h.State.Probes[gluster+"peer status"] = systest.Says(1, "Connection failed. Please check if gluster daemon is operational.\n")
	h.State.Pause = func(time.Duration) {}
	wantFailure(t, run(t, h, "gluster_peer", args), "has not answered")
	h.State.Units["glusterd.service"] = sys.Unit{Load: "loaded", Active: "inactive"}
	wantFailure(t, run(t, h, "gluster_peer", args), "glusterd is not running")
	h.State.Missing = []string{"gluster"}
	wantFailure(t, run(t, h, "gluster_peer", args), "not installed")
}

// On an empty host the whole chain is foretold: package, unit, peers, volume.
func TestGlusterIsForetoldBeforeItIsInstalled(t *testing.T) {
	h := newGluster(t)
	h.State.Missing = []string{"gluster"}
	delete(h.State.Units, "glusterd.service")
	h.State.Packages["glusterfs-server"] = systest.Package{Candidate: "10.3"}
	shadow := sys.NewShadow(h.Host)
	for _, step := range []struct {
		module string
		args   map[string]any
	}{
		{"package", map[string]any{"name": "glusterfs-server", "units": "disabled"}},
		{"systemd", map[string]any{"name": "glusterd", "state": "started", "enabled": true}},
		{"gluster_peer", map[string]any{"hosts": "compute02"}},
		{"gluster_volume", volumeArgs()},
	} {
		wantStatus(t, run(t, shadow, step.module, step.args), modules.Changed)
		wantStatus(t, run(t, shadow, step.module, step.args), modules.OK)
	}
	wantStatus(t, run(t, shadow, "gluster_heal_info", map[string]any{"name": "data"}), modules.Deferred)
}

// A glusterd that was stopped may know volumes that cannot be asked for.
func TestGlusterStoppedIsDeferred(t *testing.T) {
	h := newGluster(t)
	h.State.Units["glusterd.service"] = sys.Unit{Load: "loaded", Active: "inactive", Sub: "dead", File: "enabled"}
	h.State.Probes[gluster+"volume info data"] = systest.Says(1, "Connection failed. Please check if gluster daemon is operational.\n")
	h.WriteFile("/usr/lib/systemd/system/glusterd.service", "[Install]\nWantedBy=multi-user.target\n", 0o644)
	h.WriteFile("/var/lib/glusterd/vols/data/info", "", 0o644)
	shadow := sys.NewShadow(h.Host)
	wantFailure(t, run(t, shadow, "gluster_volume", volumeArgs()), "glusterd is not running")
	wantStatus(t, run(t, shadow, "systemd", map[string]any{"name": "glusterd", "state": "started"}), modules.Changed)
	wantStatus(t, run(t, shadow, "gluster_volume", volumeArgs()), modules.Deferred)
}

func volumeArgs() map[string]any {
	return map[string]any{
		"name": "data", "cluster": []any{"compute01", "compute02"}, "bricks": "/data/glusterfs", "replicas": 2, "force": true,
		"options": map[string]any{"network.ping-timeout": 10, "nfs.disable": true},
	}
}

func TestGlusterVolume(t *testing.T) {
	h := newGluster(t)
	h.becomes(t, "volume create data replica 2 transport tcp compute01:/data/glusterfs compute02:/data/glusterfs force", "gluster_volume_create.xml",
		func() { h.volume = "gluster_volume_info_created.xml" })
	h.becomes(t, "volume set data network.ping-timeout 10", "gluster_volume_set.xml", func() { h.volume = "gluster_volume_info_started.xml" })
	h.becomes(t, "volume set data nfs.disable on", "gluster_volume_set.xml", func() {})
	h.becomes(t, "volume start data", "gluster_volume_start.xml", func() {})
	out := agreed(t, h.Host, "gluster_volume", volumeArgs())
	wantChanges(t, out,
		"create gluster volume data bricks: (absent) -> replica 2: compute01:/data/glusterfs compute02:/data/glusterfs",
		"update gluster volume data network.ping-timeout: (absent) -> 10",
		"update gluster volume data nfs.disable: (absent) -> on",
		"update gluster volume data status: Created -> Started")
	wantStatus(t, agreed(t, h.Host, "gluster_volume", volumeArgs()), modules.OK)
	other := volumeArgs()
	other["cluster"] = []any{"10.77.0.12", "storage2"}
	wantStatus(t, agreed(t, h.Host, "gluster_volume", other), modules.OK)
}

// A volume of two is not made anew: it gets its arbiter while it serves.
func TestGlusterVolumeGetsAnArbiter(t *testing.T) {
	h := newGluster(t)
	h.volume = "gluster_volume_info_started.xml"
	h.becomes(t, "volume add-brick data replica 3 arbiter 1 manage01:/data/glusterfs force", "gluster_volume_set.xml",
		func() { h.volume = "gluster_volume_info_arbiter.xml" })
	args := volumeArgs()
	args["cluster"], args["replicas"], args["arbiters"] = []any{"10.77.0.13", "compute01", "manage01"}, 3, 1
	delete(args, "options")
	wantChanges(t, agreed(t, h.Host, "gluster_volume", args),
		"update gluster volume data bricks: replica 2: compute01:/data/glusterfs compute02:/data/glusterfs -> "+
			"replica 3: compute01:/data/glusterfs compute02:/data/glusterfs manage01:/data/glusterfs")
	wantStatus(t, agreed(t, h.Host, "gluster_volume", args), modules.OK)

	h.volume = "gluster_volume_info_started.xml"
	args["cluster"] = []any{"compute01", "manage01", "compute02"} // the arbiter would be one that has the files
	wantFailure(t, run(t, h, "gluster_volume", args), "with other bricks")
}

// A run that was cut off after the creation is finished by the next.
func TestGlusterVolumeIsFinished(t *testing.T) {
	h := newGluster(t)
	h.volume = "gluster_volume_info_created.xml"
	args := volumeArgs()
	delete(args, "options")
	h.becomes(t, "volume start data", "gluster_volume_start.xml", func() { h.volume = "gluster_volume_info_started.xml" })
	wantChanges(t, agreed(t, h.Host, "gluster_volume", args), "update gluster volume data status: Created -> Started")
	h.becomes(t, "volume stop data", "gluster_volume_start.xml", func() {})
	h.becomes(t, "volume delete data", "gluster_volume_start.xml", func() { h.volume = "gluster_volume_info_none.xml" })
	wantChanges(t, agreed(t, h.Host, "gluster_volume", map[string]any{"name": "data", "state": "absent"}),
		"update gluster volume data status: Started -> Stopped",
		"remove gluster volume data bricks: replica 2: compute01:/data/glusterfs compute02:/data/glusterfs -> (absent)")
}

func TestGlusterVolumeFailures(t *testing.T) {
	h := newGluster(t)
	h.becomes(t, "volume create data replica 2 transport tcp compute01:/data/glusterfs compute02:/data/glusterfs force", "gluster_volume_create_fails.xml", func() {})
	wantFailure(t, run(t, h, "gluster_volume", volumeArgs()), "is being created in the root partition")
	h.volume = "gluster_volume_info_started.xml"
	other := volumeArgs()
	other["bricks"] = "/data/other"
	wantFailure(t, run(t, h, "gluster_volume", other), "with other bricks: it has compute01:/data/glusterfs compute02:/data/glusterfs, wanted are compute01:/data/other compute02:/data/other")
	other = volumeArgs()
	other["replicas"] = 1
	wantFailure(t, run(t, h, "gluster_volume", other), "with 2 replicas (0 arbiter), not 1")
}

func TestGlusterVolumeWaitsForTheLock(t *testing.T) {
	h := newGluster(t)
	h.volume = "gluster_volume_info_created.xml"
	args := volumeArgs()
	delete(args, "options")
	h.State.Runs[gluster+"volume start data"] = systest.Says(0, strings.ReplaceAll(recorded(t, "gluster_volume_create_fails.xml"), "The brick", "Another transaction is in progress for data. The brick"))
	waits := 0
	h.State.Pause = func(time.Duration) {
		if waits++; waits == 3 {
			h.State.Runs[gluster+"volume start data"] = func(systest.Call) sys.Result {
				h.volume = "gluster_volume_info_started.xml"
				return sys.Result{Stdout: []byte(recorded(t, "gluster_volume_start.xml"))}
			}
		}
	}
	wantStatus(t, run(t, h, "gluster_volume", args), modules.Changed)
	if waits != 3 {
		t.Errorf("waited %d times", waits)
	}
}

func TestGlusterHealInfo(t *testing.T) {
	h := newGluster(t)
	args := map[string]any{"name": "data"}
	h.State.Probes[gluster+"volume heal data info"] = systest.Says(254, `<?xml version="1.0"?><cliOutput><healInfo><bricks/></healInfo><opRet>-1</opRet><opErrno>2</opErrno><opErrstr>Volume data does not exist</opErrstr></cliOutput>`)
	wantFailure(t, run(t, h, "gluster_heal_info", args), "there is no gluster volume data")
	h.volume = "gluster_volume_info_started.xml"
	h.State.Probes[gluster+"volume heal data info"] = systest.Says(0, recorded(t, "gluster_heal_info.xml"))
	out := run(t, h, "gluster_heal_info", args)
	want := modules.Result{
		"bricks": []any{
			map[string]any{"name": "compute01:/data/glusterfs", "status": "Connected", "entries": 3},
			map[string]any{"name": "compute02:/data/glusterfs", "status": "Transport endpoint is not connected", "entries": -1},
		}, "entries": 3, "connected": false,
	}
	if diff := cmp.Diff(want, out.Result); diff != "" {
		t.Error(diff)
	}
	h.volume = "gluster_volume_info_created.xml"
	h.State.Probes[gluster+"volume heal data info"] = systest.Says(0, recorded(t, "gluster_heal_info_fails.xml"))
	wantFailure(t, run(t, h, "gluster_heal_info", args), "Not able to fetch volfile")
}

// The program that gluster calls for it is called alone; only when its answer is not
// whole gluster is asked, which says what is wrong.
func TestGlusterHealerIsAsked(t *testing.T) {
	const healer = "/usr/libexec/glusterfs/glfsheal"
	h := newGluster(t)
	h.WriteFile(healer, "", 0o755)
	args := map[string]any{"name": "data"}
	wantHeal := func(entries int) {
		t.Helper()
		if out := run(t, h, "gluster_heal_info", args); out.Result["entries"] != entries {
			t.Errorf("%s %s %v, want %d entries", out.Status, out.Message, out.Result, entries)
		}
	}
	clear(h.State.Probes)
	whole := recorded(t, "gluster_heal_info.xml")
	h.State.Probes[healer+" data --xml"] = systest.Says(0, whole)
	wantHeal(3)
	h.State.Probes[gluster+"volume heal data info"] = systest.Says(0, strings.ReplaceAll(whole, "<numberOfEntries>3<", "<numberOfEntries>7<"))
	for _, answer := range []func(systest.Call) sys.Result{
		systest.Says(255, "Usage: glfsheal <VOLNAME>\n"), systest.Says(0, whole[:200]), systest.Says(0, recorded(t, "gluster_heal_info_fails.xml")), systest.Says(254, whole),
	} {
		h.State.Probes[healer+" data --xml"] = answer
		wantHeal(7)
	}
	// In check mode the volume may be one that would be gone.
	h.State.Probes[healer+" data --xml"] = systest.Says(0, whole)
	h.State.Probes[gluster+"volume info data"] = func(systest.Call) sys.Result { return sys.Result{Stdout: []byte(recorded(t, h.volume))} }
	h.volume = "gluster_volume_info_started.xml"
	shadow := sys.NewShadow(h.Host)
	wantStatus(t, run(t, shadow, "gluster_volume", map[string]any{"name": "data", "state": "absent"}), modules.Changed)
	wantFailure(t, run(t, shadow, "gluster_heal_info", args), "there is no gluster volume data")
}

func TestGlusterRefuses(t *testing.T) {
	for want, args := range map[string]map[string]any{
		"letters, digits":      {"name": "-x", "bricks": "a:/b"},
		"bricks are missing":   {"name": "x"},
		"is not HOST:/PATH":    {"name": "x", "bricks": "/b"},
		"cannot be shared out": {"name": "x", "bricks": "a:/b,b:/b,c:/b", "replicas": 2},
		"replicas: 3 only":     {"name": "x", "bricks": "a:/b,b:/b", "replicas": 2, "arbiters": 1},
	} {
		if got := refused(t, "gluster_volume", args); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
	if got := refused(t, "gluster_peer", map[string]any{"hosts": "--force"}); !strings.Contains(got, "no host name") {
		t.Errorf("refused with %q", got)
	}
}

// composeHost has docker-compose 1.x, dc-compose and docker. Its containers are
// what docker ps and docker inspect tell.
type composeHost struct {
	*systest.Host
	t          *testing.T
	containers map[string]fakeContainer
}

type fakeContainer struct {
	service, hash, status string
	restarts              int
	project               string // "" is compose
	oneoff                string
}

const (
	composeFlags = "docker-compose -f /proc/self/fd/3 -f /proc/self/fd/4 --project-directory /opt/rainbond/compose -p compose "
	psLine       = `docker ps -a --no-trunc --format {{.ID}} {{.Names}} {{.Label "com.docker.compose.project"}}`
)

func hash(c string) string { return strings.Repeat(c, 64) }

func newCompose(t *testing.T) *composeHost {
	h := &composeHost{
		Host: systest.NewHostInMemory(t), t: t,
		containers: map[string]fakeContainer{
			"rbd-dns": {service: "rbd-dns", hash: hash("a"), status: "running"},
			"rbd-lb":  {service: "rbd-lb", hash: hash("b"), status: "running"},
			"run-1":   {service: "rbd-dns", hash: hash("0"), status: "exited", oneoff: "True"},
			"foreign": {service: "web", status: "running", project: "shop"},
			"byhand":  {status: "running", project: "-"},
		},
	}
	h.WriteFile("/opt/rainbond/compose/base.yaml", "dns=a", 0o644)
	h.WriteFile("/opt/rainbond/compose/lb.yaml", "lb=b", 0o644)
	h.WriteFile("/opt/rainbond/compose/old.yaml.bak", "nothing", 0o644)
	h.State.Probes[composeFlags+"config --hash *"] = h.config
	h.State.Probes[psLine] = func(systest.Call) sys.Result { return sys.Result{Stdout: []byte(h.ps())} }
	return h
}

// config answers as compose would: a hash of what the files hold.
func (h *composeHost) config(c systest.Call) sys.Result {
	var out strings.Builder
	for _, file := range c.Files {
		for word := range strings.FieldsSeq(file) {
			service, letter, _ := strings.Cut(word, "=")
			fmt.Fprintf(&out, "rbd-%s %s\n", service, hash(letter))
		}
	}
	return sys.Result{Stdout: []byte(out.String())}
}

func (h *composeHost) ps() string {
	var out strings.Builder
	var ids []string
	for name, c := range maps.All(h.containers) {
		project := projectOf(c)
		fmt.Fprintf(&out, "id-%s %s %s\n", name, name, project)
		if project == "compose" {
			ids = append(ids, "id-"+name)
		}
	}
	h.inspectable(ids)
	return out.String()
}

func projectOf(c fakeContainer) string {
	if project, special := map[string]string{"": "compose", "-": ""}[c.project]; special {
		return project
	}
	return c.project
}

// inspected is what docker has of one container.
func (h *composeHost) inspected(name string) string {
	c := h.containers[name]
	return fmt.Sprintf(`{"Id":"id-%s","Name":"/%s","RestartCount":%d,"State":{"Status":"%s","ExitCode":1,"Pid":77},"Config":{"Labels":{"com.docker.compose.service":"%s","com.docker.compose.config-hash":"%s","com.docker.compose.oneoff":"%s"}}}`+"\n",
		name, name, c.restarts, c.status, c.service, c.hash, c.oneoff)
}

// inspectable answers docker inspect for the containers in that order.
func (h *composeHost) inspectable(ids []string) {
	answer := func(c systest.Call) sys.Result {
		var out strings.Builder
		for _, id := range c.Args[6:] {
			out.WriteString(h.inspected(strings.TrimPrefix(id, "id-")))
		}
		return sys.Result{Stdout: []byte(out.String())}
	}
	h.State.Probes["docker inspect --type container --format {{json .}} "+strings.Join(ids, " ")] = answer
}

// runs says what a call of compose does.
func (h *composeHost) runs(line string, do func()) {
	h.State.Runs[line] = func(c systest.Call) sys.Result {
		if c.Dir != "/opt/rainbond/compose" {
			h.t.Errorf("%s was called in %q", line, c.Dir)
		}
		do()
		return sys.Result{}
	}
	h.State.Pause = func(time.Duration) {}
}

func dcCompose(more ...any) map[string]any {
	args := map[string]any{"command": "dc-compose"}
	for i := 0; i < len(more); i += 2 {
		args[more[i].(string)] = more[i+1]
	}
	return args
}

func TestComposeNothingToDo(t *testing.T) { eachDocker(t, testComposeNothingToDo) }

func testComposeNothingToDo(t *testing.T, h *composeHost) {
	out := agreed(t, h.Host, "compose", dcCompose("remove_orphans", true))
	wantStatus(t, out, modules.OK)
	want := map[string]any{
		"rbd-dns": map[string]any{"containers": []any{map[string]any{"name": "rbd-dns", "state": "running"}}},
		"rbd-lb":  map[string]any{"containers": []any{map[string]any{"name": "rbd-lb", "state": "running"}}},
	}
	if diff := cmp.Diff(want, out.Result["services"]); diff != "" {
		t.Error(diff)
	}
}

func TestComposeRecreatesStartsAndRemoves(t *testing.T) {
	eachDocker(t, testComposeRecreatesStartsAndRemoves)
}

func testComposeRecreatesStartsAndRemoves(t *testing.T, h *composeHost) {
	h.WriteFile("/opt/rainbond/compose/base.yaml", "dns=c mq=e", 0o644)
	h.WriteFile("/opt/rainbond/compose/lb.yaml", "", 0o644)
	h.containers["rbd-mq"] = fakeContainer{service: "rbd-mq", hash: hash("e"), status: "exited"}
	h.runs("dc-compose up -d --remove-orphans rbd-dns rbd-mq", func() {
		delete(h.containers, "rbd-lb")
		h.containers["rbd-dns"] = fakeContainer{service: "rbd-dns", hash: hash("c"), status: "running"}
		h.containers["rbd-mq"] = fakeContainer{service: "rbd-mq", hash: hash("e"), status: "running"}
	})
	out := agreed(t, h.Host, "compose", dcCompose("remove_orphans", true))
	wantChanges(t, out,
		"remove container rbd-lb state: running -> (absent)",
		"update container rbd-dns config: aaaaaaaaaaaa -> cccccccccccc",
		"update container rbd-mq state: exited -> running")
}

// A file that an earlier task would write counts, before it is on the disk.
func TestComposeReadsTheShadowsFiles(t *testing.T) {
	h := newCompose(t)
	shadow := sys.NewShadow(h.Host)
	if err := shadow.Change().Files().Write(t.Context(), "/opt/rainbond/compose/base.yaml", systest.Content("dns=f"), sys.Attributes{}); err != nil {
		t.Fatal(err)
	}
	wantChanges(t, run(t, shadow, "compose", dcCompose()), "update container rbd-dns config: aaaaaaaaaaaa -> ffffffffffff")
	wantStatus(t, run(t, shadow, "compose", dcCompose()), modules.OK)
	wantStatus(t, run(t, h, "compose", dcCompose()), modules.OK)
}

func TestComposeCreates(t *testing.T) { eachDocker(t, testComposeCreates) }

func testComposeCreates(t *testing.T, h *composeHost) {
	delete(h.containers, "rbd-lb")
	h.State.Probes[composeFlags+"config"] = systest.Says(0, recorded(t, "compose_config.yaml"))
	h.runs("dc-compose up -d rbd-lb", func() {
		h.containers["rbd-lb"] = fakeContainer{service: "rbd-lb", hash: hash("b"), status: "running"}
	})
	wantChanges(t, agreed(t, h.Host, "compose", dcCompose("services", "rbd-lb")), "create container rbd-lb config: (absent) -> bbbbbbbbbbbb")
	for owner, project := range map[string]string{"project shop": "shop", "no project": "-"} {
		h.containers["rbd-lb"] = fakeContainer{status: "running", project: project}
		wantFailure(t, agreed(t, h.Host, "compose", dcCompose()), "does not belong to project compose but to "+owner)
	}
}

func TestComposeDoesNotStayUp(t *testing.T) { eachDocker(t, testComposeDoesNotStayUp) }

func testComposeDoesNotStayUp(t *testing.T, h *composeHost) {
	h.containers["rbd-lb"] = fakeContainer{service: "rbd-lb", hash: hash("b"), status: "exited"}
	h.State.Probes["docker logs --tail 10 rbd-lb"] = systest.Says(0, "cannot bind :80\n")
	for name, ends := range map[string]fakeContainer{
		"is exited, exit code 1":     {service: "rbd-lb", hash: hash("b"), status: "exited"},
		"is restarting, exit code 1": {service: "rbd-lb", hash: hash("b"), status: "restarting", restarts: 2},
		"restarted 1 times":          {service: "rbd-lb", hash: hash("b"), status: "running", restarts: 1},
	} {
		h.containers["rbd-lb"] = fakeContainer{service: "rbd-lb", hash: hash("b"), status: "exited"}
		h.runs("dc-compose up -d rbd-lb", func() {
			h.containers["rbd-lb"] = fakeContainer{service: "rbd-lb", hash: hash("b"), status: "running"}
		})
		h.State.Pause = func(time.Duration) { h.containers["rbd-lb"] = ends }
		out := run(t, h, "compose", dcCompose())
		wantFailure(t, out, name)
		wantFailure(t, out, "cannot bind :80")
	}
}

func TestComposeStates(t *testing.T) { eachDocker(t, testComposeStates) }

func testComposeStates(t *testing.T, h *composeHost) {
	h.runs("dc-compose restart rbd-dns rbd-lb", func() {})
	wantChanges(t, agreed(t, h.Host, "compose", dcCompose("state", "restarted")),
		"run container rbd-dns restart: (absent) -> (absent)",
		"run container rbd-lb restart: (absent) -> (absent)")
	h.runs("dc-compose up -d --force-recreate rbd-dns rbd-lb", func() {})
	wantChanges(t, agreed(t, h.Host, "compose", dcCompose("recreate", "always")),
		"run container rbd-dns recreate: (absent) -> (absent)",
		"run container rbd-lb recreate: (absent) -> (absent)")
	h.runs("dc-compose stop rbd-lb", func() {
		h.containers["rbd-lb"] = fakeContainer{service: "rbd-lb", hash: hash("b"), status: "exited"}
	})
	wantChanges(t, agreed(t, h.Host, "compose", dcCompose("state", "stopped", "services", "rbd-lb")), "update container rbd-lb state: running -> exited")
	h.WriteFile("/opt/rainbond/compose/base.yaml", "dns=9", 0o644)
	wantStatus(t, agreed(t, h.Host, "compose", dcCompose("services", "rbd-dns", "recreate", "never")), modules.OK)
	h.runs("dc-compose down", func() { delete(h.containers, "rbd-lb"); delete(h.containers, "rbd-dns") })
	wantChanges(t, agreed(t, h.Host, "compose", dcCompose("state", "absent")),
		"remove container rbd-dns state: running -> (absent)", "remove container rbd-lb state: exited -> (absent)")
}

// The second version is called as docker compose, and gives names with hyphens.
func TestComposeSecondVersion(t *testing.T) {
	h := newCompose(t)
	h.State.Missing = []string{"docker-compose"}
	h.Mkdir("/srv/shop")
	h.WriteFile("/srv/shop/compose.yaml", "web=1", 0o644)
	flags := "docker compose -f /proc/self/fd/3 --project-directory /srv/shop -p shop2 "
	h.State.Probes[flags+"config --hash *"] = h.config
	h.State.Probes[flags+"config"] = systest.Says(0, "name: shop2\nservices:\n  rbd-web:\n    image: web\n")
	h.State.Probes[flags+"version --short"] = systest.Says(0, "v2.20.3\n")
	args := map[string]any{"project_src": "/srv/shop", "project_name": "shop2"}
	wantChanges(t, run(t, sys.NewShadow(h.Host), "compose", args), "create container shop2-rbd-web-1 config: (absent) -> 111111111111")
	h.State.Probes[flags+"version --short"] = systest.Says(0, "1.29.2\n")
	wantChanges(t, run(t, sys.NewShadow(h.Host), "compose", args), "create container shop2_rbd-web_1 config: (absent) -> 111111111111")
	h.State.Runs["docker compose -f /srv/shop/compose.yaml --project-directory /srv/shop -p shop2 up -d rbd-web"] = func(systest.Call) sys.Result {
		return sys.Result{Code: 1, Stderr: []byte("pulling\nno space left on device\n")}
	}
	wantFailure(t, run(t, h, "compose", args), "docker compose up failed with exit code 1: pulling\nno space left on device")
}

func TestComposeFailures(t *testing.T) {
	h := newCompose(t)
	wantFailure(t, run(t, h, "compose", dcCompose("services", "rbd-nds")), `has no service rbd-nds; did you mean "rbd-dns"?`)
	h.State.Probes[composeFlags+"config --hash *"] = func(systest.Call) sys.Result {
		return sys.Result{Code: 1, Stderr: []byte("ERROR: yaml: /proc/self/fd/4 line 2\n")}
	}
	wantFailure(t, run(t, h, "compose", dcCompose()), "/opt/rainbond/compose/lb.yaml line 2")
	wantFailure(t, run(t, h, "compose", map[string]any{"files": "/opt/no.yaml"}), "the compose file /opt/no.yaml: there is no such file")
	wantFailure(t, run(t, h, "compose", map[string]any{"project_src": "/srv"}), "no compose file in /srv")
	h.State.Probes[psLine] = func(systest.Call) sys.Result {
		return sys.Result{Code: 1, Stderr: []byte("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")}
	}
	wantFailure(t, run(t, h, "compose", dcCompose()), "docker is not running")
	h.State.Missing = []string{"docker"}
	wantFailure(t, run(t, h, "compose", dcCompose()), "docker is not installed")
}

func TestComposeRefuses(t *testing.T) {
	for want, args := range map[string]map[string]any{
		"needs files":     {},
		"absolute path":   {"files": "a.yaml"},
		"no name of a se": {"command": "dc-compose", "services": "--build"},
		"small letters":   {"command": "dc-compose", "project_name": "Shop"},
		"remove_orphans":  {"command": "dc-compose", "state": "stopped", "remove_orphans": true},
	} {
		if got := refused(t, "compose", args); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
}

func grctlHost(t *testing.T) *systest.Host {
	host := systest.NewHostInMemory(t)
	host.WriteFile("/opt/rainbond/.domain.log", "a1b2.grapps.cn\n", 0o644)
	host.State.Names["rbdplay.a1b2.grapps.cn"] = []string{"10.77.0.11"}
	return host
}

func TestGrctlDomain(t *testing.T) {
	args := map[string]any{"domain": "10.77.0.100"}
	host := grctlHost(t)
	host.State.Runs["grctl domain --ip 10.77.0.100"] = func(systest.Call) sys.Result {
		host.State.Names["rbdplay.a1b2.grapps.cn"] = []string{"10.77.0.100"}
		return sys.Result{Stdout: []byte("domain change Success!!!\n")}
	}
	wantStatus(t, run(t, sys.NewShadow(host), "grctl", args), modules.Changed)
	out := run(t, host, "grctl", args)
	wantChanges(t, out, "run domain *.a1b2.grapps.cn address: 10.77.0.11 -> 10.77.0.100")
	wantStatus(t, run(t, host, "grctl", args), modules.OK)

	host = grctlHost(t)
	host.State.Runs["grctl domain --ip 10.77.0.100"] = systest.Says(0, "domain change error!!!\n")
	wantFailure(t, run(t, host, "grctl", args), "domain change error!!!")
	host.State.Runs["grctl domain --ip 10.77.0.100"] = systest.Says(0, "")
	wantFailure(t, run(t, host, "grctl", args), "neither that it changed")
	delete(host.State.Names, "rbdplay.a1b2.grapps.cn")
	if out := run(t, host, "grctl", args); out.Status != modules.Skipped || !strings.Contains(out.Message, "cannot be resolved here") {
		t.Errorf("offline: %s %s", out.Status, out.Message)
	}
	host.WriteFile("/opt/rainbond/.domain.log", "apps.example.org\n", 0o644)
	if out := run(t, host, "grctl", args); out.Status != modules.Skipped || !strings.Contains(out.Message, "apps.example.org is no *.grapps.cn") {
		t.Errorf("own domain: %s %s", out.Status, out.Message)
	}
	host.WriteFile("/opt/rainbond/.domain.log", "", 0o644)
	wantFailure(t, run(t, host, "grctl", args), "holds no domain")
	wantFailure(t, run(t, systest.NewHostInMemory(t), "grctl", args), "no management node")
}

func TestGrctlNodes(t *testing.T) {
	host := systest.NewHostInMemory(t)
	host.State.Probes["grctl node list"] = systest.Says(0, recorded(t, "grctl_node_list.txt"))
	out := agreed(t, host, "grctl", map[string]any{"nodes": true})
	nodes, _ := out.Result["nodes"].([]any)
	want := map[string]any{
		"uid": "13dd8356-1dd2-11b2-a30d-000000821800", "ip": "10.77.0.12", "hostname": "compute01", "role": "compute",
		"mode": "slave", "status": "running", "alived": true, "schedulable": true, "ready": true,
	}
	if len(nodes) != 3 || !cmp.Equal(want, nodes[1]) {
		t.Errorf("nodes %v", nodes)
	}
	host.State.Probes["grctl node list"] = systest.Says(0, "connection refused\n")
	wantFailure(t, run(t, host, "grctl", map[string]any{"nodes": true}), "printed no table; it printed: connection refused")
	host.State.Broken["probe"] = errors.New("no more processes")
	wantFailure(t, run(t, host, "grctl", map[string]any{"nodes": true}), "no more processes")
}
