package modules_test

import (
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

func TestYumRepository(t *testing.T) {
	const file = "/etc/yum.repos.d/own.repo"
	const own = "[own]\nbaseurl = http://h/a http://h/b\nenabled = 0\nexclude = kernel*\nname = Own\npriority = 10\n"
	args := map[string]any{
		"name": "own", "description": "Own", "baseurl": []any{"http://h/a", "http://h/b"}, "enabled": false, "priority": 10, "exclude": "kernel*",
	}
	absent := map[string]any{"name": "own", "state": "absent"}
	for _, test := range []struct {
		name, before, after string
		args                map[string]any
		status              modules.Status
	}{
		{"new", "", own, args, modules.Changed},
		{"there", own, own, args, modules.OK},
		{"in another form", "# ours\n[own]\nname=Own\n\nexclude=kernel*\nenabled=0\nbaseurl=http://h/a  http://h/b\npriority=10\n", "", args, modules.OK},
		{"another option goes", "[a]\nname = A\n\n[own]\nname = Old\nproxy = x\n\n[b]\nname = B\n", "[a]\nname = A\n\n" + own + "\n[b]\nname = B\n", args, modules.Changed},
		{"beside another", "[a]\nname = A\n", "[a]\nname = A\n\n" + own, args, modules.Changed},
		{"absent", "[a]\nname = A\n" + own, "[a]\nname = A\n", absent, modules.Changed},
		{"absent already", "[a]\nname = A\n", "[a]\nname = A\n", absent, modules.OK},
		{"the only one", own, "gone", absent, modules.Changed},
		{"no file", "", "gone", absent, modules.OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			host := systest.NewHostInMemory(t)
			host.Mkdir("/etc/yum.repos.d")
			if test.before != "" {
				host.WriteFile(file, test.before, 0o644)
			}
			wantStatus(t, predicted(t, host, "yum_repository", test.args), test.status)
			if test.after == "gone" {
				if names, err := host.Files().ReadDir(t.Context(), "/etc/yum.repos.d"); err != nil || len(names) > 0 {
					t.Errorf("there is %v, %v", names, err)
				}
				return
			}
			want := test.after
			if want == "" {
				want = test.before
			}
			if got := host.ReadFile(file); got != want {
				t.Errorf("the file has %q, want %q", got, want)
			}
		})
	}
}

func TestYumRepositoryRefuses(t *testing.T) {
	for want, args := range map[string]map[string]any{
		"needs description": {"name": "a", "baseurl": "http://h"},
		"needs baseurl":     {"name": "a", "description": "b"},
		"no id":             {"name": "a]b", "state": "absent"},
		"no name of a file": {"name": "a", "file": "../b", "state": "absent"},
		"one line":          {"name": "a", "description": "b\n[c]", "baseurl": "http://h"},
		"reposdir":          {"name": "a", "state": "absent", "reposdir": "/x"},
	} {
		if got := refused(t, "yum_repository", args); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
}
