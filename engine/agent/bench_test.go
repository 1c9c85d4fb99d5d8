package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
)

// The frame codec, both ways: a task with a loop of 100, and the outcomes of it.
func BenchmarkFrames(b *testing.B) {
	items := make([]map[string]any, 100)
	for i := range items {
		items[i] = map[string]any{"path": "/etc/app.conf", "regexp": fmt.Sprintf("^key%d=", i), "line": fmt.Sprintf("key%d=value", i), "create": true}
	}
	done := outcome{Item: 1, Outcome: modules.Outcome{
		Status:  modules.Changed,
		Changes: []change.Change{{Target: "/etc/app.conf", Action: change.Update, Field: "content", Before: change.Text("a\nb\n"), After: change.Text("a\nc\n")}},
		Result:  modules.Result{"changed": true, "path": "/etc/app.conf", "msg": "line replaced", "lines": []any{"a", "b"}},
	}}
	for name, m := range map[string]*message{
		"task of 100": {ID: 1, Task: &Task{Module: "lineinfile", Items: items}},
		"outcome":     {ID: 1, Outcome: &done},
	} {
		b.Run(name, func(b *testing.B) {
			var wire bytes.Buffer
			b.ReportAllocs()
			for b.Loop() {
				wire.Reset()
				body, err := encoded(m)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(body)))
				if err := writeFrames(&wire, body); err != nil {
					b.Fatal(err)
				}
				if body, err = framesOf(&wire); err != nil {
					b.Fatal(err)
				}
				if _, err := decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A loop of 100 that edits one file, from the task's frame to the last outcome.
func BenchmarkLoopOverOneFile(b *testing.B) {
	registry, err := modules.All()
	if err != nil {
		b.Fatal(err)
	}
	p := newPair(b, nil, func(o *ServeOptions) { o.Registry = registry })
	file := filepath.Join(b.TempDir(), "lines")
	var items []map[string]any
	for i := range 100 {
		items = append(items, map[string]any{"path": file, "line": fmt.Sprintf("line %d", i), "create": true})
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := os.RemoveAll(file); err != nil {
			b.Fatal(err)
		}
		outcomes, err := p.Run(b.Context(), task("lineinfile", items...), nil)
		if err != nil || len(outcomes) != 100 || outcomes[99].Status != modules.Changed {
			b.Fatal(len(outcomes), err)
		}
	}
}

// inMemory is a source of one content.
type inMemory []byte

func (m inMemory) Open(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m)), nil
}

// A big file on its way: out of the client, through frames, into the agent, checked,
// onto the disk, durable, and looked at again; all but SSH.
func BenchmarkCopyBigFile(b *testing.B) {
	content := make(inMemory, 64<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content) // never fails
	sum := sha256.Sum256(content)
	registry, err := modules.All()
	if err != nil {
		b.Fatal(err)
	}
	p := newPair(b, content, func(o *ServeOptions) { o.Registry = registry })
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ref := modules.ContentRef{SHA256: hex.EncodeToString(sum[:]), Length: int64(len(content)), Name: "big"}
		dest := filepath.Join(b.TempDir(), fmt.Sprint(i))
		outcomes, err := p.Run(b.Context(), Task{Module: "copy", Items: []map[string]any{{"src": ref, "dest": dest}}}, nil)
		if err != nil || len(outcomes) != 1 || outcomes[0].Status != modules.Changed {
			b.Fatal(outcomes, err)
		}
	}
}
