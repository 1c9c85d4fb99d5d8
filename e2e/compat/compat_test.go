// Package compat runs the project's own playbooks with rbdplay and with Debian's
// ansible-core, each on the same starting tree, and holds that both end the same:
// exit code, recap, files, and the results that the playbooks wrote down.
package compat

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// leastChecks is how many values have to be the same. A check is a top-level key
// of a JSON file that a playbook wrote, another file or link of the tree, a host's
// line of the recap, or an exit code.
const leastChecks = 300

func TestMain(m *testing.M) {
	if os.Getenv("RBDPLAY_COMPAT") == "" {
		fmt.Println("left out: the comparison with ansible-core; make compat runs it")
		return
	}
	os.Exit(m.Run())
}

// TestSameAsAnsible runs each case of testdata with both engines.
func TestSameAsAnsible(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no cases: %v", err)
	}
	both := newEngines(t)
	known := newFound()
	var checks atomic.Int64
	t.Run("cases", func(t *testing.T) {
		for _, file := range files {
			c := readCase(t, file)
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				theirs, ours := both.run(t, c)
				same, differences := compare(theirs, ours)
				for _, d := range differences {
					if !known.covers(c.name, d) {
						t.Errorf("%s\n  ansible: %s\n  rbdplay: %s", d.place, d.ansible, d.rbdplay)
					}
				}
				checks.Add(int64(same))
				t.Logf("%d checks are the same, %d values differ", same, len(differences))
			})
		}
	})
	if filtered() {
		return
	}
	for _, place := range known.gone() {
		t.Errorf("a listed difference is no more, take it off the list: %s", place)
	}
	t.Logf("%d checks are the same", checks.Load())
	if n := checks.Load(); n < leastChecks {
		t.Errorf("only %d checks were the same, which must be at least %d", n, leastChecks)
	}
}

// engines are the two programs, with a home of their own.
type engines struct {
	ansible, rbdplay string
	dir              string // of the cases
	cache            string // of what Ansible did, "" for none
}

func newEngines(t *testing.T) *engines {
	t.Helper()
	e := &engines{rbdplay: os.Getenv("RBDPLAY_BINARY"), dir: t.TempDir(), cache: os.Getenv("RBDPLAY_COMPAT_CACHE")}
	if e.rbdplay == "" {
		e.rbdplay = "../../bin/rbdplay"
	}
	var err error
	if e.rbdplay, err = filepath.Abs(e.rbdplay); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(e.rbdplay); err != nil {
		t.Fatalf("there is no rbdplay to test; run make build first: %v", err)
	}
	if e.ansible, err = exec.LookPath("ansible-playbook"); err != nil {
		t.Fatalf("there is no Ansible to compare with; install ansible-core: %v", err)
	}
	if e.cache != "" {
		e.dir = filepath.Join(e.cache, "work") // results hold paths
	}
	return e
}
