package compat

import (
	"path"
	"strings"
	"sync"
)

// meantDifference is a difference from Ansible that the project wants. Place is
// CASE:PLACE, where * stands for any text without a slash.
type meantDifference struct{ place, reason string }

var meantDifferences = []meantDifference{}

// meant is the list, with what was found of it.
type meant struct {
	mu    sync.Mutex
	found map[int]bool
}

func newMeant() *meant { return &meant{found: map[int]bool{}} }

func (m *meant) covers(name string, d difference) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	covered := false
	for i, known := range meantDifferences {
		// A place is one word for path.Match, which stops at slashes.
		place := strings.ReplaceAll(name+":"+d.place, "/", "|")
		if ok, err := path.Match(strings.ReplaceAll(known.place, "/", "|"), place); err == nil && ok {
			m.found[i], covered = true, true
		}
	}
	return covered
}

// missing are the listed differences that were not found.
func (m *meant) missing() []meantDifference {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []meantDifference
	for i, known := range meantDifferences {
		if !m.found[i] {
			all = append(all, known)
		}
	}
	return all
}
