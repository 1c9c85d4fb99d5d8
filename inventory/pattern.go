package inventory

import "github.com/rbdplay/rbdplay/engine/diag"

// Pattern is a parsed pattern of hosts: "web:&prod:!web1", "~db\d+", "all[0:2]".
type Pattern struct {
	source string
	terms  []term
}

type term struct{}

// String is the pattern as it was written.
func (p *Pattern) String() string { return p.source }

// ParsePattern reads a pattern. at finds the place of its parts. The error is a
// diag.Diagnostic.
func ParsePattern(text string, at diag.Locator) (*Pattern, error) { return nil, nil }

// Select gives the hosts that the pattern chooses, in the order of the inventory.
// A name that is neither host nor group is an error finding, with a suggestion; a
// pattern that chooses nobody is none.
func (inv *Inventory) Select(p *Pattern) ([]*Host, diag.List) { return nil, nil }
