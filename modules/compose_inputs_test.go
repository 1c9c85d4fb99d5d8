package modules_test

import (
	"context"
	"testing"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// compose is asked for its hashes once for what they are made of, and again when any
// of that is not the same, or cannot be told.
func TestComposeHashesAreRemembered(t *testing.T) {
	h := newCompose(t)
	h.WriteFile("/usr/bin/docker-compose", "python", 0o755)
	images := "rbd-dns 3.6 sha256:1\nrbd-lb 3.6 sha256:3\n"
	h.State.Probes["docker images -a --no-trunc --digests --format {{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}"] = func(systest.Call) sys.Result {
		return sys.Result{Stdout: []byte(images)}
	}
	asked := 0
	h.State.Probes[composeFlags+"config --hash *"] = func(c systest.Call) sys.Result {
		asked++
		return h.config(c)
	}
	remembering := sys.WithMemory(t.Context(), &sys.Memory{})
	var variables map[string]string
	plan := func(ctx context.Context) {
		if o := modules.Run(ctx, decoded(t, "compose", dcCompose()), h, modules.Emit{}); o.Status != modules.OK {
			t.Fatal(o.Status, o.Message)
		}
	}
	for _, step := range []struct {
		name string
		do   func()
		asks int
	}{
		{"the first time", func() {}, 1},
		{"the same again", func() {}, 0},
		{"the images in another order", func() { images = "rbd-lb 3.6 sha256:3\nrbd-dns 3.6 sha256:1\n" }, 0},
		{"another file", func() { h.WriteFile("/opt/rainbond/compose/lb.yaml", "lb=b ", 0o644) }, 1},
		{"an image was pulled", func() { images = "rbd-dns 3.6 sha256:2\n" }, 1},
		{"a file of variables", func() { h.WriteFile("/opt/rainbond/compose/.env", "A=b", 0o644) }, 1},
		{"another program", func() { h.WriteFile("/usr/local/bin/docker-compose", "newer", 0o755) }, 1},
		{"the same once more", func() {}, 0},
		{"the task has variables", func() { variables = map[string]string{"A": "b"} }, 1},
		{"and still has them", func() {}, 1},
	} {
		asked = 0
		step.do()
		if plan(sys.WithEnvironment(remembering, variables)); asked != step.asks {
			t.Errorf("%s: compose was asked %d times, want %d", step.name, asked, step.asks)
		}
	}
}
