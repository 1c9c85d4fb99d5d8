package main

import (
	"fmt"
	"os"
	"strings"
)

// readLimit puts the lines of a file in the place of each @FILE of --limit, as they
// stand in a file of hosts to try again.
func (f *runFlags) readLimit() error {
	if !strings.Contains(f.limit, "@") {
		return nil
	}
	var patterns []string
	for part := range strings.SplitSeq(f.limit, ",") {
		name, isFile := strings.CutPrefix(strings.TrimSpace(part), "@")
		if !isFile {
			patterns = append(patterns, part)
			continue
		}
		text, err := os.ReadFile(expandHome(name, os.Getenv("HOME")))
		if err != nil {
			return fmt.Errorf("the file of hosts: %w", err)
		}
		lines := strings.Fields(string(text))
		if len(lines) == 0 {
			return fmt.Errorf("the file of hosts %s names none", name)
		}
		patterns = append(patterns, lines...)
	}
	f.limit = strings.Join(patterns, ",")
	return nil
}
