package main

import "testing"

func TestRecaps(t *testing.T) {
	for _, test := range []struct {
		name, out string
		read      func([]byte) (totals, error)
		want      totals
		fails     bool
	}{
		{
			name: "ansible", read: recapOfAnsible, want: totals{hosts: 2, changed: 5, failed: 1},
			out: "TASK [x]\nchanged: [host1]\n\nPLAY RECAP ***\nhost1   : ok=3    changed=3    unreachable=0    failed=0    skipped=0\nhost2   : ok=2    changed=2    unreachable=1    failed=0\n",
		},
		{name: "ansible without a recap", read: recapOfAnsible, out: "ERROR! no\n", fails: true},
		{
			name: "rbdplay", read: recapOfJSON, want: totals{hosts: 2, changed: 4, failed: 1},
			out: `{"type":"run_start"}` + "\n" + `{"type":"run_end","hosts":{"a":{"ok":2,"changed":4},"b":{"failed":1}}}` + "\n",
		},
		{name: "rbdplay cut off", read: recapOfJSON, out: `{"type":"run_start"}` + "\n", fails: true},
		{name: "rbdplay silent", read: recapOfJSON, fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.read([]byte(test.out))
			if got != test.want || (err != nil) != test.fails {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
