package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/engine/program"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// mostOutput bounds what an executable inventory may print, in bytes.
const mostOutput = 32 << 20

// isProgram reports whether a file is run rather than read: it may be executed,
// and it begins as a script or a program does. An inventory that only has the
// wrong mode is read.
func isProgram(text []byte, mode uint32) bool {
	return mode&0o111 != 0 && (bytes.HasPrefix(text, []byte("#!")) || bytes.HasPrefix(text, []byte("\x7fELF")))
}

// script reads what an executable inventory prints: groups with --list, and the
// variables of each host in _meta or, where that is missing, with --host.
func (l *loader) script(name string) {
	root := l.ask(name, "--list")
	if root == nil || root.Kind == syntax.Null {
		return
	}
	fields, err := root.Fields()
	if err != nil {
		l.found.Add(root.Errorf("--list prints %s; a mapping of groups is wanted", root.Kind))
		return
	}
	before := len(l.hostOrder)
	for _, entry := range fields.Node.Entries {
		if entry.Name != "_meta" {
			l.scriptGroup(entry)
		}
	}
	if meta, ok := fields.Get("_meta"); ok && meta.Kind == syntax.Mapping {
		l.scriptMeta(meta)
		return
	}
	for _, h := range l.hostOrder[before:] {
		if vars := l.ask(name, "--host", h.Name); vars != nil {
			l.scriptHostVars(h, vars)
		}
	}
}

// scriptGroup reads {hosts, vars, children}, or a plain list of hosts.
func (l *loader) scriptGroup(entry syntax.Entry) {
	g := l.group(entry.Name, entry.Key.Range)
	switch entry.Value.Kind {
	case syntax.Null:
		return
	case syntax.Sequence:
		l.scriptHosts(g, entry.Value)
		return
	case syntax.Mapping, syntax.Bool, syntax.Int, syntax.Float, syntax.String:
	}
	fields, err := entry.Value.Fields()
	if err != nil {
		l.found.AddError(entry.Value.Range, err)
		return
	}
	for _, d := range fields.Unknown("hosts", "vars", "children") {
		l.found.Add(d)
	}
	if node, ok := fields.Get("hosts"); ok {
		l.scriptHosts(g, node)
	}
	if node, ok := fields.Get("vars"); ok {
		for _, v := range l.variables(node, GroupInFile) {
			l.addGroupVar(g, v)
		}
	}
	if node, ok := fields.Get("children"); ok {
		l.eachName(node, func(name string, at diag.Range) { g.adopt(l.group(name, at)) })
	}
}

func (l *loader) scriptHosts(g *Group, node *syntax.Node) {
	l.eachName(node, func(name string, at diag.Range) { g.add(l.host(name, at)) })
}

// eachName visits a list of names.
func (l *loader) eachName(node *syntax.Node, visit func(name string, at diag.Range)) {
	items, err := node.AsList()
	if err != nil {
		l.found.AddError(node.Range, err)
		return
	}
	for _, item := range items {
		name, err := item.AsString()
		if err != nil {
			l.found.AddError(item.Range, err)
			continue
		}
		visit(name, item.Range)
	}
}

// scriptMeta reads _meta. Variables of hosts that are in no group count for
// nobody, as in Ansible.
func (l *loader) scriptMeta(meta *syntax.Node) {
	for _, entry := range meta.Entries {
		if entry.Name != "hostvars" {
			continue // others keep notes of their own there
		}
		if entry.Value.Kind != syntax.Mapping {
			l.found.Add(entry.Value.Errorf("expected a mapping of hosts, found %s", entry.Value.Kind))
			continue
		}
		for _, host := range entry.Value.Entries {
			if h := l.hosts[host.Name]; h != nil {
				l.scriptHostVars(h, host.Value)
			}
		}
	}
}

func (l *loader) scriptHostVars(h *Host, node *syntax.Node) {
	for _, v := range l.variables(node, HostInFile) {
		l.addHostVar(h, v)
	}
}

// ask runs the program and reads the JSON that it prints. The place of what is in
// it is a line of that output.
func (l *loader) ask(name string, args ...string) *syntax.Node {
	if l.ctx.Err() != nil {
		return nil
	}
	said := name + " " + strings.Join(args, " ")
	at := diag.Range{File: said}
	out, err := runInventory(l.ctx, name, args)
	switch {
	case err != nil:
		l.found.Add(diag.New(at, "the executable inventory %v", err).WithCause(err))
		return nil
	case len(bytes.TrimSpace(out)) == 0:
		out = []byte("{}")
	case !json.Valid(out):
		l.sources.Add(said, out)
		l.found.Add(notJSON(said, out))
		return nil
	}
	return l.parse(said, joinSurrogates(out))
}

// notJSON is the finding at the place where JSON ends to be that.
func notJSON(said string, out []byte) diag.Diagnostic {
	at := diag.Range{File: said}
	var value any
	err := json.Unmarshal(out, &value)
	if fault, ok := errors.AsType[*json.SyntaxError](err); ok {
		before := out[:min(max(fault.Offset-1, 0), int64(len(out)))]
		at = diag.InText(said, string(out))(len(before), len(before))
	}
	return diag.New(at, "the executable inventory prints no JSON: %v", err)
}

var surrogates = lazy.Regexp(`\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)`)

// joinSurrogates writes out characters that JSON splits into two escapes, which
// YAML does not know.
func joinSurrogates(text []byte) []byte {
	return surrogates().ReplaceAllFunc(text, func(escape []byte) []byte {
		m := surrogates().FindSubmatch(escape)
		if m[1] == nil {
			return escape
		}
		high, _ := strconv.ParseUint(string(m[1]), 16, 16) // four hexadecimal digits
		low, _ := strconv.ParseUint(string(m[2]), 16, 16)
		return []byte(string(utf16.DecodeRune(rune(high), rune(low))))
	})
}

// runInventory runs an executable inventory and gives what it prints.
func runInventory(ctx context.Context, name string, args []string) ([]byte, error) {
	path, err := filepath.Abs(name) // a bare name would be looked for in $PATH
	if err != nil {
		return nil, err
	}
	out, err := program.Run(ctx, program.Command{Argv: append([]string{path}, args...), Most: mostOutput})
	switch _, exited := errors.AsType[*exec.ExitError](err); {
	case exited:
		return nil, fmt.Errorf("ended with %w: %s", err, out.Complaints())
	case err != nil:
		return nil, err
	}
	return out.Stdout, nil
}
