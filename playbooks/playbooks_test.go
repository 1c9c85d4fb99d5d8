package playbooks_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/playbooks"
)

func TestEveryPlaybookIsWhole(t *testing.T) {
	for _, name := range playbooks.Names() {
		embedded, err := playbooks.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := embedded.Inventory(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		summary, err := embedded.Summary()
		if err != nil || !strings.HasSuffix(summary, ".") {
			t.Errorf("%s: the comment that heads the playbook should be sentences, got %q, %v", name, summary, err)
		}
	}
}

func TestOpenRefusesWhatIsNotEmbedded(t *testing.T) {
	for _, name := range []string{"", ".", "..", "ha-minimal/roles", "nothing", "playbooks.go"} {
		if _, err := playbooks.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q): %v, want fs.ErrNotExist", name, err)
		}
	}
}
