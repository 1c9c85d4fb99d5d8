package play

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

// archive is a txtar file: a comment, then files behind lines "-- name --".
type archive struct {
	comment string
	files   []archived
}

type archived struct{ name, text string }

var fileMarker = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

func readArchive(t *testing.T, name string) archive {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	marks := fileMarker.FindAllSubmatchIndex(text, -1)
	if len(marks) == 0 {
		t.Fatalf("%s has no files", name)
	}
	a := archive{comment: string(text[:marks[0][0]])}
	for i, m := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		a.files = append(a.files, archived{string(text[m[2]:m[3]]), string(text[m[1]:end])})
	}
	return a
}

func (a archive) write(t *testing.T, name string) {
	t.Helper()
	var out bytes.Buffer
	out.WriteString(a.comment)
	for _, f := range a.files {
		out.WriteString("-- " + f.name + " --\n" + f.text)
	}
	if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
