package modules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// lineinfile on a file of 1 MiB: with nothing to do, and with a line to replace.
func BenchmarkLineinfile(b *testing.B) {
	all, err := modules.All()
	if err != nil {
		b.Fatal(err)
	}
	spec, _ := all.Find("lineinfile")
	var text strings.Builder
	for i := 0; text.Len() < 1<<20; i++ {
		fmt.Fprintf(&text, "key%d=value of this line\n", i)
	}
	host := systest.NewHostInMemory(b)
	host.WriteFile("/etc/big", text.String(), 0o644)
	for name, line := range map[string]func(i int) string{
		"nothing to do": func(int) string { return "key20000=value of this line" },
		"replace":       func(i int) string { return fmt.Sprint("key20000=", i) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m, problems := spec.Decode(map[string]any{"path": "/etc/big", "regexp": "^key20000=", "line": line(i)}, nil)
				if len(problems) > 0 {
					b.Fatal(problems)
				}
				if o := modules.Run(b.Context(), m, host, modules.Emit{}); o.Status == modules.Failed {
					b.Fatal(o.Message)
				}
			}
		})
	}
}
