package compat

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// difference is a value that is not the same.
type difference struct {
	sort             sort
	place            string // one.json#result.stdout, recap 1 of one, exit 1, file etc/hosts
	ansible, rbdplay string
}

// compare counts the checks that are the same and lists the values that are not.
func compare(theirs, ours *outcome) (same int, all []difference) {
	check := func(place string, a, b any) {
		found := compareValues(place, a, b)
		all = append(all, found...)
		if len(found) == 0 {
			same++
		}
	}
	for i := range theirs.Exits {
		check(fmt.Sprintf("exit %d", i+1), theirs.Exits[i], ours.Exits[i])
		for _, host := range keys(theirs.Recaps[i], ours.Recaps[i]) {
			check(fmt.Sprintf("recap %d of %s", i+1, host), recapValue(theirs.Recaps[i], host), recapValue(ours.Recaps[i], host))
		}
	}
	for _, name := range keys(theirs.Tree, ours.Tree) {
		check("file "+name, fileValue(theirs.Tree, name), fileValue(ours.Tree, name))
	}
	for _, name := range keys(theirs.Values, ours.Values) {
		for _, key := range keys(theirs.Values[name], ours.Values[name]) {
			check(name+"#"+key, at(theirs.Values[name], key), at(ours.Values[name], key))
		}
	}
	return same, all
}

// missing is a value that one of the two does not have.
type missing struct{}

func at[V any](m map[string]V, key string) any {
	if v, ok := m[key]; ok {
		return v
	}
	return missing{}
}

func recapValue(of map[string]recap, host string) any {
	r, ok := of[host]
	if !ok {
		return missing{}
	}
	all := map[string]any{}
	for i, key := range recapKeys {
		all[key] = r[i]
	}
	return all
}

func fileValue(of map[string]entry, name string) any {
	f, ok := of[name]
	if !ok {
		return missing{}
	}
	return map[string]any{"mode": f.Mode, "content": f.Content}
}

// compareValues goes down into mappings and lists.
func compareValues(place string, a, b any) []difference {
	var all []difference
	if ours, ok := b.(map[string]any); ok {
		if theirs, ok := a.(map[string]any); ok {
			for _, key := range keys(theirs, ours) {
				if !volatile[key] || at(theirs, key) == any(missing{}) || at(ours, key) == any(missing{}) {
					all = append(all, compareValues(place+"."+key, at(theirs, key), at(ours, key))...)
				}
			}
			return all
		}
	}
	if ours, ok := b.([]any); ok {
		if theirs, ok := a.([]any); ok && len(ours) == len(theirs) {
			for i := range ours {
				all = append(all, compareValues(place+"."+strconv.Itoa(i), theirs[i], ours[i])...)
			}
			return all
		}
	}
	if !reflect.DeepEqual(a, b) {
		all = append(all, difference{sort: sortOf(a, b), place: place, ansible: text(a), rbdplay: text(b)})
	}
	return all
}

func sortOf(a, b any) sort {
	switch any(missing{}) {
	case a:
		return oursOnly
	case b:
		return theirsOnly
	}
	return other
}

func text(v any) string {
	if v == any(missing{}) {
		return "(nothing)"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

func keys[V any](a, b map[string]V) []string {
	all := slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b)))
	slices.Sort(all)
	return slices.Compact(all)
}

// volatile are keys of results whose value differs from run to run, so that only
// their being there is compared.
var volatile = map[string]bool{
	"start": true, "end": true, "delta": true, // of commands: the clock
	"atime": true, "mtime": true, "ctime": true, "inode": true, "dev": true, "version": true, // stat: of this very file
	"elapsed":        true, // wait_for, uri: the clock
	"ansible_job_id": true, // async: the clock and a number by chance
	"pid":            true,
}
