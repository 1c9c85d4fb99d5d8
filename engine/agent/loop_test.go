package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
)

func TestLoopOverOneFilePutsItInPlaceOnce(t *testing.T) {
	registry, err := modules.All()
	if err != nil {
		t.Fatal(err)
	}
	p := newPair(t, nil, func(o *ServeOptions) { o.Registry = registry })
	file := filepath.Join(t.TempDir(), "lines")
	var items []map[string]any
	var want strings.Builder
	for i := range 50 {
		line := fmt.Sprintf("line %d", i)
		items = append(items, map[string]any{"path": file, "line": line, "create": true})
		want.WriteString(line + "\n")
	}
	early := 0
	outcomes, err := p.Run(t.Context(), task("lineinfile", items...), func(e Event) {
		if e.Done != nil {
			if _, err := os.Stat(file); err != nil {
				early++
			}
		}
	})
	if err != nil || len(outcomes) != 50 {
		t.Fatal(len(outcomes), err)
	}
	for i, o := range outcomes {
		if o.Status != modules.Changed {
			t.Errorf("item %d: %s %s", i, o.Status, o.Message)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want.String() {
		t.Errorf("got %q, %v", got, err)
	}
	if early > 0 {
		t.Errorf("%d items were told as done before the file was there", early)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".rbdplay-*")); err != nil || left != nil {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestLoopTellsNothingAsDoneThatIsNotInPlace(t *testing.T) {
	held := func() []*message {
		c := []change.Change{{Target: "/f", Action: change.Update, Field: "content"}}
		return []*message{
			{ID: 1, Planned: &changes{Item: 0, Changes: c}},
			{ID: 1, Done: &changes{Item: 0, Changes: c}},
			{ID: 1, Outcome: &outcome{Item: 0, Outcome: modules.Outcome{Status: modules.Changed, Changes: c}}},
			{ID: 1, Outcome: &outcome{Item: 1, Outcome: modules.Outcome{Status: modules.OK}}},
		}
	}
	for _, test := range []struct {
		failure error
		want    string
	}{
		{nil, "planned, done, changed , ok "},
		{errors.New("no room"), "planned, failed no room, ok "},
	} {
		var wire bytes.Buffer
		s := &server{out: outbox{w: &wire}}
		l := &itemLoop{server: s, told: s.tell, held: held()}
		l.release(test.failure)
		var got []string
		for wire.Len() > 0 {
			body, err := framesOf(&wire)
			if err != nil {
				t.Fatal(err)
			}
			m, err := decode(body)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case m.Planned != nil:
				got = append(got, "planned")
			case m.Done != nil:
				got = append(got, "done")
			case m.Outcome != nil:
				got = append(got, string(m.Outcome.Outcome.Status)+" "+m.Outcome.Outcome.Message)
			}
		}
		if strings.Join(got, ", ") != test.want || l.held != nil {
			t.Errorf("with %v: got %q", test.failure, strings.Join(got, ", "))
		}
	}
}
