package modulestest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/rbdplay/rbdplay/modules"
)

// told is what testdata/proofs.yaml says of a module that the fixtures do not
// prove: cells that begin with "yes" name the test, others say why not.
type told struct {
	Check, Diff, Idempotence, Cancel, Systems string
}

// WithFixtures lists the modules of the registry that have fixtures in dir. A folder
// that is no module's is an error.
func WithFixtures(t *testing.T, registry *modules.Registry, dir string, besides ...string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() || slices.Contains(besides, e.Name()) {
			continue
		}
		if spec, ok := registry.Find(e.Name()); !ok || spec.Name != e.Name() {
			t.Errorf("%s/%s is no module's", dir, e.Name())
			continue
		}
		names = append(names, e.Name())
	}
	return names
}

// Proofs makes the table of what is proved of each module, and holds file to it.
// Every module joins by being registered: one that has neither fixtures nor a word
// in proofs.yaml fails, and so does a word that the fixtures have made untrue.
func Proofs(t *testing.T, registry *modules.Registry, dir, file string, besides ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "proofs.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]told{}
	if err := yaml.Unmarshal(text, &words); err != nil {
		t.Fatalf("proofs.yaml: %v", err)
	}
	fixtured := WithFixtures(t, registry, dir, besides...)
	for _, name := range slices.Sorted(maps.Keys(words)) {
		if spec, ok := registry.Find(name); !ok || spec.Name != name {
			t.Errorf("proofs.yaml tells of %s, which is no module", name)
		}
	}
	var table []modules.Proof
	for _, name := range registry.Names() {
		table = append(table, proofOf(t, registry, dir, name, slices.Contains(fixtured, name), words[name]))
	}
	made, err := modules.ProofsText(table)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(kept), made); diff != "" {
		t.Errorf("%s is stale; run go test ./modules -run TestProofs -update, then make docs:\n%s", file, diff)
	}
}

func proofOf(t *testing.T, registry *modules.Registry, dir, name string, fixtured bool, word told) modules.Proof {
	t.Helper()
	spec, _ := registry.Find(name)
	proof := modules.Proof{Module: name, Check: word.Check, Diff: word.Diff, Idempotence: word.Idempotence, Cancel: word.Cancel, Systems: word.Systems}
	if spec.Place == modules.OnController && word == (told{}) {
		fill(t, name, &proof, "no need: the engine does it, no host is changed")
	}
	if fixtured {
		all, changing := countFixtures(t, filepath.Join(dir, name))
		switch {
		case changing > 0:
			fill(t, name, &proof, fmt.Sprintf("yes: %d of %d fixtures change something", changing, all))
		default:
			fill(t, name, &proof, fmt.Sprintf("yes: %d fixtures; it changes nothing", all))
		}
	}
	switch {
	case proof.Systems != "":
	case fixtured:
		proof.Systems = "Debian 12" // the fixtures are real trees, and that is where they are tested
	case spec.Place == modules.OnController:
		proof.Systems = "no need: nothing of it is done on a host"
	}
	cells := map[string]string{"check": proof.Check, "diff": proof.Diff, "idempotence": proof.Idempotence, "cancel": proof.Cancel, "systems": proof.Systems}
	for column, cell := range cells {
		for _, test := range namedTest.FindAllString(cell, -1) {
			if !tests(t)[test] {
				t.Errorf("proofs.yaml names for the %s of %s the test %s, which there is not", column, name, test)
			}
		}
		if cell == "" {
			t.Errorf("module %s: nothing proves its %s: give it fixtures in %s/%s, or say why not in proofs.yaml", name, column, dir, name)
		}
	}
	return proof
}

// fill gives the four cells the text; a word that tells of them besides is stale.
func fill(t *testing.T, name string, proof *modules.Proof, text string) {
	t.Helper()
	for _, cell := range []*string{&proof.Check, &proof.Diff, &proof.Idempotence, &proof.Cancel} {
		if *cell != "" {
			t.Errorf("proofs.yaml tells of %s what its fixtures show by themselves", name)
		}
		*cell = text
	}
}

// countFixtures counts those of a module, and those that tell of changes: on each
// of them the suite holds check against run, runs again, and cancels at each call.
func countFixtures(t *testing.T, dir string) (all, changing int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Errorf("%s has no fixtures: %v", dir, err)
	}
	for _, file := range files {
		f, err := loadFixture(file)
		if err != nil {
			t.Error(err)
			continue
		}
		all++
		if strings.TrimSpace(f.sections["changes"]) != "" {
			changing++
		}
	}
	return all, changing
}

var (
	namedTest  = regexp.MustCompile(`\bTest\w+`)
	testHeader = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// tests are the names of the tests in the folder of the package that is tested, and
// of those in the lab.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	inLab, err2 := filepath.Glob("../e2e/*_test.go")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	files = append(files, inLab...)
	names := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range testHeader.FindAllStringSubmatch(string(text), -1) {
			names[match[1]] = true
		}
	}
	return names
}
