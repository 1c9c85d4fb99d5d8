package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// unitFolders are where systemd looks for unit files, the first one first. Of
// drop-ins only those in NAME.d count here, not those of prefixes and types.
var unitFolders = []string{
	"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
	"/usr/lib/systemd/system", "/lib/systemd/system",
}

// fileSet is unit files and drop-ins by path, with a text that differs when the
// file differs.
type fileSet map[string]string

// signature is equal for two sets with the same files.
func (s fileSet) signature() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s %s\n", name, s[name])
	}
	return b.String()
}

// fragment is the path of the unit file itself, or "".
func (s fileSet) fragment() string {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if !strings.HasSuffix(name, ".conf") {
			return name
		}
	}
	return ""
}

// unitFileNames are the names that a unit's file may have: an instance of a
// template is made from the template's file.
func unitFileNames(unit string) []string {
	stem, instance, ok := strings.Cut(unit, "@")
	if !ok || strings.HasPrefix(instance, ".") {
		return []string{unit}
	}
	return []string{unit, stem + "@" + path.Ext(unit)}
}

// unitFiles finds the files of a unit in one view of the files.
func (sh *Shadow) unitFiles(ctx context.Context, files FileReader, unit string) (fileSet, error) {
	found := fileSet{}
	for _, folder := range unitFolders {
		for _, name := range unitFileNames(unit) {
			if err := found.add(ctx, files, path.Join(folder, name)); err != nil {
				return nil, err
			}
			if err := found.addAll(ctx, files, path.Join(folder, name+".d")); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// allUnitFiles finds the files of all units in the shadow.
func (sh *Shadow) allUnitFiles(ctx context.Context) (map[string]string, error) {
	all := fileSet{}
	for _, folder := range unitFolders {
		names, err := sh.files.ReadDir(ctx, folder)
		if absentOrUnknown(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			add := all.add
			if strings.HasSuffix(name, ".d") {
				add = all.addAll
			}
			if err := add(ctx, sh.files, path.Join(folder, name)); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// pick takes a unit's own files out of all.
func pick(all map[string]string, unit string) fileSet {
	picked := fileSet{}
	for file, text := range all {
		for _, name := range unitFileNames(unit) {
			dir, base := path.Split(file)
			if base == name && slices.Contains(unitFolders, path.Clean(dir)) || path.Base(dir) == name+".d" {
				picked[file] = text
			}
		}
	}
	return picked
}

func (s fileSet) addAll(ctx context.Context, files FileReader, folder string) error {
	names, err := files.ReadDir(ctx, folder)
	if absentOrUnknown(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".conf") {
			if err := s.add(ctx, files, path.Join(folder, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// add notes the file at path, if there is one. A folder is none.
func (s fileSet) add(ctx context.Context, files FileReader, file string) error {
	info, err := files.Lstat(ctx, file)
	if absentOrUnknown(err) || err == nil && info.Type == Directory {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Type == Symlink {
		to, err := files.Readlink(ctx, file)
		s[file] = "link " + to
		return err
	}
	s[file] = fmt.Sprintf("%d %d %d", info.Inode, info.Size, info.ModTime.UnixNano())
	return nil
}

// absentOrUnknown takes what a package may bring for absent: it says itself that
// systemd is to read it.
func absentOrUnknown(err error) bool {
	_, unknown := Unknown(err)
	return unknown || errors.Is(err, fs.ErrNotExist)
}

// fragment is a unit file with its drop-ins, as far as it is read here.
type fragment struct {
	path   string // "" when there is none
	masks  bool   // it is a link to /dev/null
	values map[string]string
}

// value is the last assignment to a key of a section.
func (f fragment) value(section, key string) string { return f.values[section+"."+key] }

// ends reports whether it is a service that does its work and is over then.
func (f fragment) ends() bool {
	remains := strings.ToLower(f.value("Service", "RemainAfterExit"))
	return f.value("Service", "Type") == "oneshot" && !slices.Contains([]string{"yes", "true", "on", "1", "y", "t"}, remains)
}

// installable reports whether the unit can be enabled.
func (f fragment) installable() bool {
	return slices.ContainsFunc([]string{"WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also"}, func(key string) bool {
		return f.value("Install", key) != ""
	})
}

// readFragment reads the unit's file as it would be in the shadow.
func (sh *Shadow) readFragment(ctx context.Context, unit string) (fragment, error) {
	return sh.readFragmentWhere(ctx, unit, func(fragment) bool { return true })
}

// readFragmentBelowMask reads the file that counts when a mask is taken away.
func (sh *Shadow) readFragmentBelowMask(ctx context.Context, unit string) (fragment, error) {
	return sh.readFragmentWhere(ctx, unit, func(f fragment) bool { return !f.masks })
}

func (sh *Shadow) readFragmentWhere(ctx context.Context, unit string, wanted func(fragment) bool) (fragment, error) {
	found, err := sh.findFragment(ctx, unit, wanted)
	if err != nil || found.path == "" || found.masks {
		return found, err
	}
	files, err := sh.unitFiles(ctx, sh.files, unit)
	if err != nil {
		return fragment{}, err
	}
	found.values = map[string]string{}
	read := []string{found.path}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".conf") {
			read = append(read, name)
		}
	}
	for _, name := range read {
		text, err := readOrNothing(ctx, sh.files, name)
		if absentOrUnknown(err) {
			continue
		}
		if err != nil {
			return fragment{}, err
		}
		parseUnitFile(string(text), found.values)
	}
	return found, nil
}

func (sh *Shadow) findFragment(ctx context.Context, unit string, wanted func(fragment) bool) (fragment, error) {
	for _, name := range unitFileNames(unit) {
		for _, folder := range unitFolders {
			f := fragment{path: path.Join(folder, name)}
			info, err := sh.files.Lstat(ctx, f.path)
			if absentOrUnknown(err) {
				continue
			}
			if err != nil {
				return fragment{}, err
			}
			if info.Type == Symlink {
				to, err := sh.files.Readlink(ctx, f.path)
				if err != nil {
					return fragment{}, err
				}
				f.masks = to == "/dev/null"
			}
			if wanted(f) {
				return f, nil
			}
		}
	}
	return fragment{}, nil
}

// parseUnitFile notes the last assignment to each key as "Section.Key". A line
// that ends in a backslash goes on in the next.
func parseUnitFile(text string, values map[string]string) {
	section, before := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		line = before + line
		if rest, more := strings.CutSuffix(line, `\`); more {
			before = rest + " "
			continue
		}
		before = ""
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = line[1 : len(line)-1]
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok {
			values[section+"."+strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
}

// fileState is systemd's UnitFileState of a unit whose file is found.
func (sh *Shadow) fileState(ctx context.Context, unit string, f fragment) (string, error) {
	if f.masks {
		return "masked", nil
	}
	enabled, err := sh.wanted(ctx, unit)
	switch {
	case err != nil:
		return "", err
	case enabled:
		return "enabled", nil
	case f.installable():
		return "disabled", nil
	}
	return "static", nil
}

// wanted reports whether a link in a .wants or .requires folder names the unit.
func (sh *Shadow) wanted(ctx context.Context, unit string) (bool, error) {
	const folder = "/etc/systemd/system"
	names, err := sh.files.ReadDir(ctx, folder)
	if absentOrUnknown(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".wants") && !strings.HasSuffix(name, ".requires") {
			continue
		}
		_, err := sh.files.Lstat(ctx, path.Join(folder, name, unit))
		if err == nil {
			return true, nil
		}
		if !absentOrUnknown(err) {
			return false, err
		}
	}
	return false, nil
}
