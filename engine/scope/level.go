// Package scope finds what a name means: variables in layers, with Ansible's
// documented order of precedence, the place each came from, and values that are
// rendered only when they are looked up.
//
// A Scope is a chain of small frames, the innermost first; With puts one more
// frame before it and copies nothing. A value that a person wrote (YAML, the
// command line) is a template and is rendered by the scope that asked. A value
// that came from a host is handed out as it is: nothing a host says is ever read
// as a template.
package scope

import "fmt"

// Level is a rank of precedence: the higher one wins, and among equals the inner
// frame. The numbers up to 22 are those of Ansible's documentation ("Understanding
// variable precedence"); 1 is for command line values that are no
// variables.
type Level uint8

// The levels. Above the documented ones stand, as in Ansible's code, the magic
// variables and the variables of a loop: nothing can hide them.
const (
	RoleDefaults          Level = 2
	InventoryGroup        Level = 3 // in the inventory's own file
	InventoryGroupVarsAll Level = 4
	PlaybookGroupVarsAll  Level = 5
	InventoryGroupVars    Level = 6
	PlaybookGroupVars     Level = 7
	InventoryHost         Level = 8 // in the inventory's own file
	InventoryHostVars     Level = 9
	PlaybookHostVars      Level = 10
	Facts                 Level = 11
	PlayVars              Level = 12
	PlayVarsPrompt        Level = 13
	PlayVarsFiles         Level = 14
	RoleVars              Level = 15
	BlockVars             Level = 16
	TaskVars              Level = 17
	IncludeVars           Level = 18
	Registered            Level = 19 // and set_fact
	RoleParams            Level = 20
	IncludeParams         Level = 21
	ExtraVars             Level = 22
	Magic                 Level = 23
	LoopVars              Level = 24
)

var levelNames = map[Level]string{
	RoleDefaults:          "role defaults",
	InventoryGroup:        "inventory group vars",
	InventoryGroupVarsAll: "inventory group_vars/all",
	PlaybookGroupVarsAll:  "playbook group_vars/all",
	InventoryGroupVars:    "inventory group_vars",
	PlaybookGroupVars:     "playbook group_vars",
	InventoryHost:         "inventory host vars",
	InventoryHostVars:     "inventory host_vars",
	PlaybookHostVars:      "playbook host_vars",
	Facts:                 "facts",
	PlayVars:              "play vars",
	PlayVarsPrompt:        "play vars_prompt",
	PlayVarsFiles:         "play vars_files",
	RoleVars:              "role vars",
	BlockVars:             "block vars",
	TaskVars:              "task vars",
	IncludeVars:           "include_vars",
	Registered:            "registered vars and set_fact",
	RoleParams:            "role params",
	IncludeParams:         "include params",
	ExtraVars:             "extra vars",
	Magic:                 "magic variables",
	LoopVars:              "loop variables",
}

// String is the level's name in Ansible's documentation.
func (l Level) String() string {
	if name, ok := levelNames[l]; ok {
		return name
	}
	return fmt.Sprintf("level %d", uint8(l))
}
