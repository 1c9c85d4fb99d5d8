// Package binaries holds the agent programs that rbdplay sends to hosts. It is
// apart from package agent because the agent itself, which is built from that,
// must not contain them.
package binaries

import (
	"embed"

	"github.com/rbdplay/rbdplay/engine/agent"
)

// The pattern matches README.md as well, so that the package compiles without
// any program.
//
//go:embed [Rr]*
var embedded embed.FS

var programs = agent.ProgramsIn(embedded, ".")

// Embedded are the programs that were built into this rbdplay. They are one
// value for all hosts: each program is unpacked and digested once.
func Embedded() agent.Programs { return programs }
