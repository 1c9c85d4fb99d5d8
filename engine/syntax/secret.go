package syntax

import (
	"unicode/utf8"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Reveal puts what decrypt makes of them in the place of all texts tagged !vault,
// at any depth. Only who has just parsed the node may call it. The error is a
// diag.List of everything that could not be decrypted.
func (n *Node) Reveal(decrypt func(*Node) (string, error)) error {
	var found diag.List
	n.walk(map[*Node]bool{}, func(one *Node) {
		if one.Tag != TagVault {
			return
		}
		text, err := decrypt(one)
		switch {
		case err != nil:
			found.AddError(one.Range, err)
		case !utf8.ValidString(text):
			found.Add(one.Errorf("what is encrypted here is not text (UTF-8)"))
		default:
			// The text is nowhere in the source: places in it are the whole value's.
			one.Text, one.value, one.Tag, one.Secret, one.source = text, text, "", true, nil
		}
	})
	return found.ErrorOrNil()
}

// MarkSecret makes everything in a file that was encrypted as a whole secret, and
// hands the texts and numbers in it to learn. Truth values and what gives a task
// or play its shape stay out: they tell nothing, and hiding them would hide every
// other "true".
func (n *Node) MarkSecret(learn func(text string)) {
	n.mark(map[*Node]bool{}, learn)
}

// shape are the keys whose texts are no secret in an encrypted playbook.
var shape = map[string]bool{"name": true, "hosts": true, "when": true, "tags": true, "notify": true, "register": true, "state": true}

func (n *Node) mark(seen map[*Node]bool, learn func(string)) {
	if seen[n] {
		return
	}
	seen[n] = true
	n.Secret = true
	if n.Kind == String || n.Kind == Int || n.Kind == Float {
		learn(n.Text)
	}
	for _, item := range n.Items {
		item.mark(seen, learn)
	}
	for _, entry := range n.Entries {
		entry.Key.Secret = true
		if shape[entry.Name] && entry.Value.IsScalar() {
			entry.Value.Secret = true
			continue
		}
		entry.Value.mark(seen, learn)
	}
}

// walk visits n and all in it, what is shared once.
func (n *Node) walk(seen map[*Node]bool, visit func(*Node)) {
	if seen[n] {
		return
	}
	seen[n] = true
	visit(n)
	for _, item := range n.Items {
		item.walk(seen, visit)
	}
	for _, entry := range n.Entries {
		entry.Value.walk(seen, visit)
	}
}
