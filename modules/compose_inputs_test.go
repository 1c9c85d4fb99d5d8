package modules_test

import (
	"os"
	"testing"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// compose is asked for its hashes once for what they are made of, and again when any
// of that is not the same, or cannot be told. lasting says how it is with a new agent.
func TestComposeHashesAreRemembered(t *testing.T) {
	t.Setenv("PATH", "/usr/local/bin:/usr/bin")
	t.Setenv("HOME", "/root")
	h := newCompose(t)
	h.WriteFile("/usr/bin/docker-compose", "#!/usr/bin/python3\nimport compose\n", 0o755)
	h.WriteFile("/usr/bin/python3", "", 0o755)
	images := "rbd-dns 3.6 sha256:1\nrbd-lb 3.6 sha256:3\n"
	h.State.Probes["docker images -a --no-trunc --digests --format {{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}"] = func(systest.Call) sys.Result {
		return sys.Result{Stdout: []byte(images)}
	}
	asked := 0
	h.State.Probes[composeFlags+"config --hash *"] = func(c systest.Call) sys.Result {
		asked++
		return h.config(c)
	}
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	agent := &sys.Memory{Folder: folder}
	var variables map[string]string
	plan := func(memory *sys.Memory) int {
		asked = 0
		ctx := sys.WithEnvironment(sys.WithMemory(t.Context(), memory), variables)
		if o := modules.Run(ctx, decoded(t, "compose", dcCompose()), h, modules.Emit{}); o.Status != modules.OK {
			t.Fatal(o.Status, o.Message)
		}
		return asked
	}
	for _, step := range []struct {
		name        string
		do          func()
		asks, anews int
	}{
		{"the first time", func() {}, 1, 0},
		{"the same again", func() {}, 0, 0},
		{"the images in another order", func() { images = "rbd-lb 3.6 sha256:3\nrbd-dns 3.6 sha256:1\n" }, 0, 0},
		{"another file", func() { h.WriteFile("/opt/rainbond/compose/lb.yaml", "lb=b ", 0o644) }, 1, 0},
		{"an image was pulled", func() { images = "rbd-dns 3.6 sha256:2\n" }, 1, 0},
		{"a file of variables", func() { h.WriteFile("/opt/rainbond/compose/.env", "A=b", 0o644) }, 1, 0},
		{"another session", func() { t.Setenv("SSH_CONNECTION", "10.0.0.1 2 10.0.0.2 22") }, 0, 0},
		{"another environment", func() { t.Setenv("COMPOSE_PROFILES", "all") }, 1, 0},
		{"another library", func() { h.WriteFile("/usr/lib/python3/dist-packages/yaml.py", "", 0o644) }, 1, 0},
		{"packages were changed", func() { h.WriteFile("/var/lib/dpkg/status", "", 0o644) }, 1, 0},
		{"another Python", func() { h.WriteFile("/usr/bin/python3", "x", 0o755) }, 1, 0},
		{"settings of docker", func() { h.WriteFile("/root/.docker/config.json", "{}", 0o600) }, 1, 0},
		{"another program", func() { h.WriteFile("/usr/local/bin/docker-compose", "\x7fELF", 0o755) }, 1, 0},
		{"the same once more", func() {}, 0, 0},
		{"a script of unknown ways", func() { h.WriteFile("/usr/local/bin/docker-compose", "#!/bin/sh\n", 0o755) }, 1, 1},
		{"with a Python of its own", func() { h.WriteFile("/usr/local/bin/docker-compose", "#!/opt/venv/bin/python3\n", 0o755) }, 1, 1},
		{"the task has variables", func() { variables = map[string]string{"A": "b"} }, 1, 1},
		{"and still has them", func() {}, 1, 1},
	} {
		step.do()
		if asks := plan(agent); asks != step.asks {
			t.Errorf("%s: compose was asked %d times, want %d", step.name, asks, step.asks)
		}
		if anews := plan(&sys.Memory{Folder: folder}); anews != step.anews {
			t.Errorf("%s: by a new agent compose was asked %d times, want %d", step.name, anews, step.anews)
		}
	}
}
