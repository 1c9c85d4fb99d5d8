package engine_test

import "testing"

// What a play says of gathering is what setup is run with.
func TestGathering(t *testing.T) {
	for _, test := range []flow{
		{
			name: "keywords", hosts: "a,",
			playbook: `
- hosts: all
  gather_subset: ["!all", "{{ what }}"]
  gather_timeout: 3
  vars: {what: network}
  tasks: [{name: Known, assert: {that: [ansible_interfaces is defined, ansible_kernel is defined, ansible_mounts is undefined, "ansible_facts.gather_subset == ['!all', 'network']"]}}]
`,
			want: "Gathering Facts: a ok\nKnown: a ok\n= a ok=2",
		},
		{
			name: "module_defaults", hosts: "a,",
			playbook: `
- hosts: all
  module_defaults: {setup: {gather_subset: "!all"}}
  tasks: [{name: Known, assert: {that: [ansible_interfaces is undefined, ansible_kernel is defined]}}]
`,
			want: "Gathering Facts: a ok\nKnown: a ok\n= a ok=2",
		},
	} {
		t.Run(test.name, test.run)
	}
}
