package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// outcome is what a program left behind.
type outcome struct {
	Exits  []string                  // of each run: fine, wrong, failed, unreachable
	Recaps []map[string]recap        // of each run, by host
	Tree   map[string]entry          // by path below tree
	Values map[string]map[string]any // the JSON files among them, by path and key
}

// recap is a host's line: ok, changed, unreachable, failed, skipped, rescued, ignored.
type recap [7]int

var recapKeys = [7]string{"ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored"}

// entry is a file of the tree.
type entry struct {
	Mode    string // type and permissions, as ls has them
	Content string // or where a link points
}

// run takes the case through both programs, in a folder of the same name, since
// results hold paths.
func (e *engines) run(t *testing.T, c *testCase) (theirs, ours *outcome) {
	t.Helper()
	dir := filepath.Join(e.dir, c.name)
	url := c.server(t, dir)
	kept := filepath.Join(e.cache, c.name+"-"+c.sum+".json")
	theirs = &outcome{}
	// A port is another one each time.
	if data, err := os.ReadFile(kept); e.cache == "" || url != "" || err != nil || json.Unmarshal(data, theirs) != nil {
		theirs = e.once(t, c, dir, url, e.runAnsible)
		e.keep(t, kept, theirs)
	}
	return theirs, e.once(t, c, dir, url, e.runRbdplay)
}

// keep notes what Ansible did, for the one who writes cases: Ansible is slow.
func (e *engines) keep(t *testing.T, file string, theirs *outcome) {
	t.Helper()
	if e.cache == "" {
		return
	}
	data, err := json.Marshal(theirs)
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (e *engines) once(t *testing.T, c *testCase, dir, url string, with func(*testing.T, string, []string) (string, map[string]recap)) *outcome {
	t.Helper()
	c.unpack(t, dir)
	o := &outcome{}
	for _, r := range c.runs {
		args := make([]string, len(r.args))
		for i, a := range r.args {
			args[i] = strings.ReplaceAll(a, "$URL", url)
		}
		exit, hosts := with(t, dir, args)
		if r.fails == (exit == "fine") {
			t.Errorf("the run %s ended %s", strings.Join(args, " "), exit)
		}
		o.Exits, o.Recaps = append(o.Exits, exit), append(o.Recaps, hosts)
	}
	o.readTree(t, filepath.Join(dir, "tree"))
	return o
}

func (e *engines) runAnsible(t *testing.T, dir string, args []string) (string, map[string]recap) {
	t.Helper()
	home := t.TempDir()
	if err := os.WriteFile(home+"/empty.cfg", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := execute(t, dir, append([]string{e.ansible, "-i", "hosts.yml"}, args...), append(environment(home),
		"ANSIBLE_CONFIG="+home+"/empty.cfg", "ANSIBLE_LOCAL_TEMP="+home+"/local", "ANSIBLE_REMOTE_TEMP="+home+"/remote",
		"ANSIBLE_PIPELINING=1", "ANSIBLE_ASYNC_DIR="+home+"/async", "ANSIBLE_NOCOLOR=1", "ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3", "ANSIBLE_DEPRECATION_WARNINGS=0"))
	hosts := recapOfText(out)
	exit := map[int]string{0: "fine", 1: "wrong", 2: "failed", 4: "unreachable", 5: "wrong", 6: "unreachable", 250: "crashed"}[code]
	if code == 4 && len(hosts) == 0 {
		exit = "wrong" // Ansible's code for what it cannot parse is also 4
	}
	return exit, hosts
}

func (e *engines) runRbdplay(t *testing.T, dir string, args []string) (string, map[string]recap) {
	t.Helper()
	out, code := execute(t, dir, append([]string{e.rbdplay, "run", "-o", "jsonl", "-i", "hosts.yml"}, args...), environment(t.TempDir()))
	exit := map[int]string{0: "fine", 1: "wrong", 2: "failed", 4: "unreachable"}[code]
	return exit, recapOfLines(t, out)
}

// environment is all that a program gets from this machine.
func environment(home string) []string {
	return []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TZ=UTC", "COMPAT=from the environment"}
}

func execute(t *testing.T, dir string, argv, env []string) (stdout string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, problems bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &out, &problems
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(argv, " "), err)
	}
	t.Cleanup(func() {
		if os.Getenv("RBDPLAY_COMPAT_CACHE") == "" && t.Failed() {
			t.Logf("%s\nin %s: exit code %d\n%s%s", strings.Join(argv, " "), dir, cmd.ProcessState.ExitCode(), out.String(), problems.String())
		}
	})
	return out.String(), cmd.ProcessState.ExitCode()
}

var recapLine = regexp.MustCompile(`(?m)^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)\s+skipped=(\d+)\s+rescued=(\d+)\s+ignored=(\d+)`)

func recapOfText(out string) map[string]recap {
	hosts := map[string]recap{}
	for _, m := range recapLine.FindAllStringSubmatch(out, -1) {
		var r recap
		for i := range r {
			r[i], _ = strconv.Atoi(m[i+2]) // the expression takes digits only
		}
		hosts[m[1]] = r
	}
	return hosts
}

func recapOfLines(t *testing.T, out string) map[string]recap {
	t.Helper()
	hosts := map[string]recap{}
	for line := range strings.Lines(out) {
		var end struct {
			Type  string
			Hosts json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &end); err != nil {
			t.Fatalf("rbdplay wrote a line that is no JSON: %v\n%s", err, line)
		}
		if end.Type != "run_end" {
			continue
		}
		var totals map[string]map[string]int
		if err := json.Unmarshal(end.Hosts, &totals); err != nil {
			t.Fatal(err)
		}
		for host, of := range totals {
			var r recap
			for i, key := range recapKeys {
				r[i] = of[key]
			}
			if r != (recap{}) { // Ansible is silent of a host that did nothing
				hosts[host] = r
			}
		}
	}
	return hosts
}

// readTree reads what lies below root. A JSON file counts by its keys.
func (o *outcome) readTree(t *testing.T, root string) {
	t.Helper()
	o.Tree, o.Values = map[string]entry{}, map[string]map[string]any{}
	err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == root {
			return err
		}
		name, _ := filepath.Rel(root, path) // Walk gives paths below root
		found := entry{Mode: info.Mode().String()}
		switch {
		case info.Mode()&os.ModeSymlink != 0:
			found.Content, err = os.Readlink(path)
		case info.Mode().IsRegular():
			var data []byte
			data, err = os.ReadFile(path)
			var values map[string]any
			if strings.HasSuffix(name, ".json") && json.Unmarshal(data, &values) == nil {
				o.Values[name] = values
				return nil
			}
			found.Content = string(data)
		}
		o.Tree[name] = found
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// echo answers with what was asked, so that a playbook can write it down.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status, err := strconv.Atoi(filepath.Base(r.URL.Path))
	if err != nil {
		status = http.StatusOK
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", "Thu, 01 Jan 2026 00:00:00 GMT")
	w.Header().Set("X-Echo", "yes")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{ //nolint:errchkjson // a client that has gone says so itself
		"method": r.Method, "query": r.URL.RawQuery, "body": string(body),
		"content_type": r.Header.Get("Content-Type"), "custom": r.Header.Get("X-Custom"), "user": basicAuth(r),
	})
}

// filtered says whether only some cases are run.
func filtered() bool {
	f := flag.Lookup("test.run")
	return f != nil && strings.Contains(f.Value.String(), "/")
}

func basicAuth(r *http.Request) string {
	user, password, _ := r.BasicAuth()
	return user + ":" + password
}
