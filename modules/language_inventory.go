package modules

import "errors"

// AddHostArgs are the arguments of add_host; all others are variables of the host.
type AddHostArgs struct {
	onController
	Name   string   `arg:"name,required" alias:"host,hostname" doc:"The host, which may be known already."`
	Groups []string `arg:"groups" alias:"group,groupname" doc:"Groups to put it into; new ones are made."`
}

func addHostSpec() Spec {
	return Spec{
		Name:    "add_host",
		Summary: "Add a host to the inventory for the rest of the run",
		Notes: []string{
			"Every other argument is a variable of the host. Values are never templates: what is in them was rendered already.",
			"It runs once for all hosts of the play, on the first; with the strategies free and host_pinned on each. Plays that follow can choose the host, and the variables groups and hostvars know it at once. Files in group_vars and host_vars count for new groups and hosts too.",
		},
		Place:   OnController,
		New:     func() Module { return &AddHostArgs{} },
		AnyArgs: true,
		Returns: []Return{{Name: "add_host", Type: "dict", Doc: "host_name, groups and host_vars."}},
		Examples: []Example{{"The node that took the VIP", `
add_host:
  name: "{{ vip_holder.stdout }}"
  groups: active
  reason: holds the VIP`}},
	}
}

// GroupByArgs are the arguments of group_by.
type GroupByArgs struct {
	onController
	Key     string   `arg:"key,required" doc:"The group, made when it is not there. Spaces become dashes."`
	Parents []string `arg:"parents" default:"all" doc:"Groups that the group is put into."`
}

func groupBySpec() Spec {
	return Spec{
		Name:     "group_by",
		Summary:  "Put each host into a group that is named by its variables",
		Notes:    []string{"Plays that follow can choose the group, and groups and group_names know it after the task. Files in group_vars count for new groups too."},
		Place:    OnController,
		New:      func() Module { return &GroupByArgs{} },
		FreeForm: "",
		Returns: []Return{
			{Name: "add_group", Type: "string", Doc: "The group."},
			{Name: "parent_groups", Type: "list", Doc: "Its parents."},
		},
		Examples: []Example{{"By distribution", `
group_by:
  key: os_{{ ansible_facts.distribution }}`}},
	}
}

// IncludeVarsArgs are the arguments of include_vars.
type IncludeVarsArgs struct {
	onController
	File             string   `arg:"file" doc:"A file of variables. It is looked for in vars/ of the role and beside the playbook."`
	Dir              string   `arg:"dir" doc:"A folder of such files, read in the order of their names; in a role one of its vars/."`
	Name             string   `arg:"name" doc:"Put the variables into a mapping of this name instead of setting each."`
	Depth            int      `arg:"depth" default:"0" doc:"With dir: how many levels of folders to read, 0 for all."`
	FilesMatching    string   `arg:"files_matching" doc:"With dir: only files in whose name this regular expression is found."`
	IgnoreFiles      []string `arg:"ignore_files" doc:"With dir: no files whose names end in one of these regular expressions."`
	Extensions       []string `arg:"extensions" default:"json,yaml,yml" doc:"With dir: the extensions of files of variables."`
	IgnoreExtensions bool     `arg:"ignore_unknown_extensions" default:"no" doc:"With dir: pass by other files, which are an error otherwise."`
	HashBehaviour    string   `arg:"hash_behaviour" choices:"replace,merge" doc:"merge: a mapping is merged into the one that the variable has already."`
}

// Validate wants one source, and no options of the other kind.
func (a *IncludeVarsArgs) Validate() error {
	switch {
	case (a.File == "") == (a.Dir == ""):
		return errors.New("include_vars: give either file or dir")
	case a.Dir == "" && (a.Depth != 0 || a.FilesMatching != "" || len(a.IgnoreFiles) > 0 || a.IgnoreExtensions):
		return errors.New("include_vars: depth, files_matching, ignore_files and ignore_unknown_extensions are for dir")
	case a.Depth < 0:
		return errors.New("include_vars: depth: wants 0 or more")
	}
	return nil
}

func includeVarsSpec() Spec {
	return Spec{
		Name:     "include_vars",
		Summary:  "Read variables from files of the controller, while the playbook runs",
		Notes:    []string{"Values are templates, rendered where they are used. Their precedence is above those of the task and below set_fact."},
		Place:    OnController,
		New:      func() Module { return &IncludeVarsArgs{} },
		FreeForm: "file",
		Returns: []Return{
			{Name: "ansible_included_var_files", Type: "list", Doc: "The files that were read."},
			{Name: "ansible_facts", Type: "dict", Doc: "The variables. Not shown in events."},
		},
		Examples: []Example{{"What differs between distributions", `
include_vars:
  file: "{{ ansible_facts.os_family | lower }}.yml"`}},
	}
}
