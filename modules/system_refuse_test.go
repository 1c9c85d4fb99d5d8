package modules_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

var errNoAnswer = errors.New("the database does not answer")

// TestSystemModulesRefuse holds what is refused at load, before any host is asked.
func TestSystemModulesRefuse(t *testing.T) {
	for _, test := range []struct {
		module, want string
		args         map[string]any
	}{
		{"user", "wants a hash", map[string]any{"name": "a", "password": "plain text"}},
		{"user", "taken for a number", map[string]any{"name": "12"}},
		{"user", "append needs groups", map[string]any{"name": "a", "append": true}},
		{"user", "absent only", map[string]any{"name": "a", "force": true}},
		{"user", "ssh_key_passphrase", map[string]any{"name": "a", "ssh_key_passphrase": "x"}},
		{"group", "needs gid", map[string]any{"name": "a", "non_unique": true}},
		{"group", "cannot be the name", map[string]any{"name": "-a"}},
		{"authorized_key", "is an address", map[string]any{"user": "a", "key": "http://h/k"}},
		{"authorized_key", "no public key", map[string]any{"user": "a", "key": "ssh-rsa"}},
		{"cron", "minute", map[string]any{"name": "a", "job": "b", "minute": "60"}},
		{"cron", "weekday", map[string]any{"name": "a", "job": "b", "weekday": "mon-sun"}},
		{"cron", "cron_file needs user", map[string]any{"name": "a", "job": "b", "cron_file": "c"}},
		{"cron", "excludes", map[string]any{"name": "a", "job": "b", "special_time": "daily", "hour": "1"}},
		{"hostname", "no name of a host", map[string]any{"name": "a_b"}},
		{"sysctl", "needs value", map[string]any{"name": "vm.swappiness"}},
		{"sysctl", "no name of a parameter", map[string]any{"name": "-w a.b", "value": "1"}},
		{"apt_repository", "ppa:", map[string]any{"repo": "ppa:a/b"}},
		{"apt_repository", "wants a line", map[string]any{"repo": "http://h/debian main"}},
	} {
		if got := refused(t, test.module, test.args); !strings.Contains(got, test.want) || strings.Contains(got, "plain text") {
			t.Errorf("%s %v: %q, want %q", test.module, test.args, got, test.want)
		}
	}
}

func TestAptRepository(t *testing.T) {
	host := packaged(t)
	host.Mkdir("/etc/apt")
	host.Mkdir("/etc/apt/sources.list.d")
	host.WriteFile("/etc/apt/sources.list", "deb http://a.example.org/debian bookworm main\n", 0o644)
	there := map[string]any{"repo": "deb  http://a.example.org/debian bookworm main", "update_cache": false}
	wantStatus(t, agreed(t, host, "apt_repository", there), modules.OK)
	own := map[string]any{"repo": "deb http://u:pw@b.example.org/x bookworm main", "update_cache": false}
	wantStatus(t, agreed(t, host, "apt_repository", own), modules.Changed)
	if got := host.ReadFile("/etc/apt/sources.list.d/b_example_org_x.list"); got != "deb http://u:pw@b.example.org/x bookworm main\n" {
		t.Errorf("the file has %q", got)
	}
	own["state"] = "absent"
	wantStatus(t, agreed(t, host, "apt_repository", own), modules.Changed)
	there["state"] = "absent"
	wantChanges(t, agreed(t, host, "apt_repository", there), "update /etc/apt/sources.list content: deb http://a.example.org/debian bookworm main\n ->")
}

// The lists are fetched when a line came or went, and only then. Where that fails
// the line stays and the task says both.
func TestAptRepositoryFetchesTheLists(t *testing.T) {
	host := packaged(t)
	host.Mkdir("/etc/apt")
	host.Mkdir("/etc/apt/sources.list.d")
	args := map[string]any{"repo": "deb http://a.example.org/debian bookworm main"}
	const fetched = "run package lists refresh: (absent) -> (absent)"
	const line = "create /etc/apt/sources.list.d/a_example_org_debian.list content: (absent) -> deb http://a.example.org/debian bookworm main"
	host.State.Broken["packages.UpdateCache"] = errNoAnswer
	failed := run(t, host, "apt_repository", args)
	wantFailure(t, failed, errNoAnswer.Error())
	if !strings.Contains(failed.Message, "already done: create /etc/apt/sources.list.d/a_example_org_debian.list") {
		t.Errorf("what was done is not named: %s", failed.Message)
	}
	delete(host.State.Broken, "packages.UpdateCache")
	wantChanges(t, run(t, host, "apt_repository", args))
	args["state"] = "absent"
	out := run(t, host, "apt_repository", args)
	if !strings.Contains(shown(out.Changes), fetched) {
		t.Errorf("removed without fetching the lists: %s", shown(out.Changes))
	}
	args["state"] = "present"
	checked, ran := run(t, sys.NewShadow(host), "apt_repository", args), run(t, host, "apt_repository", args)
	for _, out := range []modules.Outcome{checked, ran} {
		if got := shown(out.Changes); !strings.Contains(got, line) || !strings.Contains(got, fetched) {
			t.Errorf("added: %s", got)
		}
	}
}

// A user whose look fails is no absent user, and one of a directory service is not
// managed.
func TestUserCouldNotLook(t *testing.T) {
	for _, operation := range []string{"users.Accounts", "users.User"} {
		host := packaged(t)
		host.State.Broken[operation] = errNoAnswer
		wantFailure(t, run(t, host, "user", map[string]any{"name": "ops"}), errNoAnswer.Error())
	}
	host := packaged(t)
	host.State.Broken["users.Accounts"] = errNoAnswer
	wantFailure(t, run(t, host, "group", map[string]any{"name": "ops", "state": "absent"}), errNoAnswer.Error())
}

// A step that fails leaves what was done named.
func TestUserHalfWay(t *testing.T) {
	host := packaged(t)
	host.State.Broken["users.AddUser"] = errNoAnswer
	wantFailure(t, run(t, host, "user", map[string]any{"name": "ops"}), "already done: create group ops gid")
}
