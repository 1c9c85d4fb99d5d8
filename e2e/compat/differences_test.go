package compat

import (
	"path"
	"strings"
	"sync"
)

// sort says what a listed difference may be.
type sort string

const (
	oursOnly   sort = "only rbdplay has it"
	theirsOnly sort = "only Ansible has it"
	other      sort = "the two have different values"
)

// listed is a difference that is known. Place is CASE:PLACE of any of the words
// of keys behind it, where * stands for any text. One that is no longer found
// fails the test.
type listed struct {
	place, keys string
	sort        sort
	reason      string
}

// listedDifferences are all meant.
var listedDifferences = []listed{
	{
		"modules_files:one*.json#*.", "owner group mode uid gid size state path dest checksum", oursOnly,
		"a result of a module on a file always tells the file's place and attributes; Ansible's modules differ in it from each other",
	},
	{
		"modules_files:one*.json#*.", "diff", theirsOnly,
		"what is changed travels as typed changes, which --diff and the JSON lines show; Ansible's mapping is a leftover of its callbacks",
	},
	{"templates:one.json#*.", "diff", theirsOnly, "as for the other modules on files"},
	{"modules_files:one*.json#*.", "md5sum", theirsOnly, "checksum and the two shown when it does not fit are enough"},
	{"modules_files:one*.json#*.", "exception", theirsOnly, "a traceback of Python"},
	{"modules_files:one*.json#line_*.", "backup", theirsOnly, "it is there when a backup was made; Ansible's is empty otherwise"},
	{"modules_files:one*.json#*.", "msg", other, "messages of failures name the place and what to do"},
	{"modules_files:one*.json#copy_*.", "src", theirsOnly, "a temporary file of Ansible's"},
	{"modules_files:one*.json#copy_*.", "src", other, "as the playbook's folder has it, not absolute"},
	{"modules_files:one*.json#copy_*.", "dest", other, "the directory that was made, without a slash at its end"},
	{
		"modules_files:one_check.json#*.", "changed failed", other,
		"check mode is a run on a shadow: it foretells the failure, and sees what the task before would have done",
	},
	{"modules_files:one_check.json#copy_*.", "msg exit_status stdout stdout_lines stderr stderr_lines", oursOnly, "the failure that it foretells"},
	{"modules_files:one_check.json#file_*.", "mode", other, "the mode that the task before, which changed it, would have left"},
	{"modules_files:recap 3 of one.", "changed ignored", other, "the same, counted"},
	{"modules_files:one_check.json#stat_follow.", "stat.ctime", theirsOnly, "the file's own is not known once the shadow has changed it"},
	{"variables:web01.json#role_files.", "path", oursOnly, "as for the other modules on files"},
	{"variables:web01.json#role_files.", "diff md5sum src", theirsOnly, "as for the other modules on files"},
	{"variables:web01.json#", "chain host_only", other, "the variables in vars are rendered, as they are everywhere else"},
	{"variables:web01.json#", "omit_seen", other, "a lone {{ expression }} keeps its type"},
	{"flow:one.json#", "untilled.msg task_vars.msg rescued_rc", other, "a lone {{ expression }} keeps its type"},
	{"flow:one.json#*.", "failed", oursOnly, "each result says whether it failed; Ansible's of loops and of skipped tasks do not"},
	{"lookups:one.json#*.", "failed", oursOnly, "the same"},
	{"async:recap 1 of one.", "changed", other, "a job that is erased, and one that ran until its limit, have changed something"},
	{"async:one.json#", "job.3", other, "failed is true or false, never a number"},
	{"dynamic:s1.json#*.", "failed results.*.failed results.*.changed", oursOnly, "each result says whether it failed and changed; Ansible's of loops and includes do not"},
	{"dynamic:s1.json#", "m2 include_dir.ansible_facts.m2", other, "the variables in vars and in a result are rendered, as they are everywhere else"},
	{"dynamic:s1.json#include_*.ansible_included_var_files.", "0 1", other, "as the playbook's folder has it, not absolute"},
	{"dynamic:s1.json#include_missing.", "ansible_facts ansible_included_var_files message", theirsOnly, "a failure tells its reason in msg, as every other module does"},
	{"dynamic:s1.json#include_missing.", "msg", oursOnly, "the same"},
	{"modules_more:recap 1 of one.", "changed", other, "a POST and a PUT count as changes: they are what the task does"},
	{"modules_more:one.json#", "found_keys", other, "blocks, block_size and device_type too, as stat has them"},
	{"modules_more:one.json#", "temporary.2", other, "tempfile tells only path and state; the mode is always its owner's alone"},
	{"modules_more:one.json#", "uri_json.0.body", other, "the same JSON, without blanks"},
	{"modules_more:file f*a.txt.", "mode", other, "what is fetched may be secret: only its owner reads it"},
	{"blocks:recap 7 of b.", "ok", other, "a handler with run_once runs once; Ansible runs it again for each other host that notified it"},
	{"blocks:recap 8 of a.", "failed rescued", other, "a handler that fails in a flush and is rescued counts as rescued; Ansible counts a failure, rescues it and ends well"},
	{"flow:one.json#*.", "false_condition", oursOnly, "as later versions of Ansible"},
	{"flow:one.json#loop_*.results.*.", "invocation", theirsOnly, "the arguments, which may hold what belongs nowhere else"},
	{"flow:one.json#waited_long.", "msg", other, "messages of failures say what was found at last"},
	{"flow:one.json#command_missing.", "msg", other, "an error of Go's, not of Python's"},
	{"modules_files:one*.json#stat_*.", "stat.attr_flags stat.attributes stat.version", theirsOnly, "as with get_attributes: no, the only value that is taken: the flags of lsattr are not read"},
	{"modules_files:one*.json#stat_*.", "stat.readable stat.writeable stat.executable", theirsOnly, "what Ansible's own user may do; rusr to xoth say what the file allows"},
	{"modules_files:one*.json#stat_*.", "stat.mimetype stat.charset", theirsOnly, "as with get_mime: no, the only value that is taken: Ansible asks the program file, which a host may lack"},
	{"modules_files:one*.json#file_*.", "size src", theirsOnly, "the size of a directory is the file system's own affair; src is there for links only"},
	{"modules_files:one*.json#file_missing.", "path state", theirsOnly, "the message of the failure tells both"},
}

// found is the list, with what was found of it.
type found struct {
	mu     sync.Mutex
	places map[string]bool
}

func newFound() *found { return &found{places: map[string]bool{}} }

// covers reports whether a difference of a case is listed.
func (f *found) covers(name string, d difference) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	covered := false
	for _, l := range listedDifferences {
		for _, place := range l.places() {
			if d.sort == l.sort && matches(place, name+":"+d.place) {
				f.places[place+string(l.sort)], covered = true, true
			}
		}
	}
	return covered
}

func (l listed) places() []string {
	words := strings.Fields(l.keys)
	for i, w := range words {
		words[i] = l.place + w
	}
	return words
}

// matches lets * stand for slashes too, which path.Match does not.
func matches(pattern, place string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "|"), strings.ReplaceAll(place, "/", "|"))
	return ok && err == nil
}

// gone are the places of the list where there is no difference any more.
func (f *found) gone() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, l := range listedDifferences {
		for _, place := range l.places() {
			if !f.places[place+string(l.sort)] {
				all = append(all, place+" ("+string(l.sort)+"; "+l.reason+")")
			}
		}
	}
	return all
}
