package e2e

import (
	"bufio"
	"io"
	"strings"
)

// await reads lines until one holds every text; false when they end before.
func await(r io.Reader, texts ...string) bool {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 64<<20)
next:
	for scanner.Scan() {
		for _, text := range texts {
			if !strings.Contains(scanner.Text(), text) {
				continue next
			}
		}
		return true
	}
	return false
}
