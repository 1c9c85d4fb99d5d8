package modules

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// ReplaceArgs are the arguments of replace.
type ReplaceArgs struct {
	Path     string `arg:"path,required" alias:"dest,destfile,name" type:"path" doc:"The file to edit. A symlink is followed."`
	Regexp   string `arg:"regexp,required" doc:"What to replace, wherever it is in the file. ^ and $ match at every line."`
	Replace  string `arg:"replace" doc:"What to put in its place; \\1 and \\g<name> stand for groups of regexp. Not given, what matches is removed."`
	After    string `arg:"after" doc:"Replace only behind the first match of this expression, in which . matches newlines too."`
	Before   string `arg:"before" doc:"Replace only before the match of this expression, in which . matches newlines too."`
	Encoding string `arg:"encoding" default:"utf-8" choices:"utf-8" doc:"The encoding of the file. Bytes that are not UTF-8 stay as they are."`
	TextOptions
}

func replaceSpec() Spec {
	return Spec{
		Name:      "replace",
		Summary:   "Replace every match of an expression in a file",
		Place:     OnHost,
		EditsFile: true,
		New:       func() Module { return &ReplaceArgs{} },
		Notes: []string{
			"A replacement that regexp would match and change again is refused before anything is written: such a task would never be done.",
			pythonRegexpNote,
		},
		Returns: slices.Concat([]Return{
			{Name: "msg", Type: "string", Doc: "How many replacements were made, or that before and after match nowhere."},
			{Name: "rc", Type: "int", Doc: "0; 257 when the file is not there."},
		}, textReturns),
		Examples: []Example{
			{"Let rbd-entrance push to both computes", `
replace:
  path: /opt/rainbond/compose/plugin.yaml
  regexp: (--plugin-opts=urls=)\S+
  replace: \1http://10.77.0.12:10002-http://10.77.0.13:10002`},
			{"Only within one section", `
replace:
  path: /opt/rainbond/etc/rbd-lb/dynamics/dynamic_servers/default.http.conf
  after: upstream lang {
  before: "}"
  regexp: server \S+:8081;
  replace: server 10.77.0.11:8081;
  backup: yes`},
		},
	}
}

// Validate compiles the expressions, so that a fault shows before any host is asked.
func (a *ReplaceArgs) Validate() error {
	_, err := a.replacer()
	return err
}

// Plan replaces in the text as it is now.
func (a *ReplaceArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	r, err := a.replacer()
	if err != nil {
		return Plan{}, err
	}
	file, err := openText(ctx, host, a.Path)
	if err != nil {
		return Plan{}, err
	}
	if !file.exists {
		return Plan{Result: Result{"rc": 257}}, fmt.Errorf("%s does not exist", a.Path)
	}
	text, message := r.replace(file.text)
	if again, _ := r.replace(text); again != text {
		return Plan{}, fmt.Errorf("%s: each run would replace again, since regexp matches what it makes; choose a regexp that leaves %q alone", a.Path, a.Replace)
	}
	plan, err := file.become(ctx, host, text, a.TextOptions)
	if err != nil {
		return Plan{}, err
	}
	plan.Once["msg"], plan.Once["rc"] = message, 0
	return plan, nil
}

// replacer is the arguments with their expressions compiled.
type replacer struct {
	section   *regexp.Regexp // with one group "subsection"; nil for the whole file
	pattern   *regexp.Regexp
	expansion expansion
}

func (a *ReplaceArgs) replacer() (r replacer, err error) {
	if err := a.noPreserve(); err != nil {
		return r, err
	}
	if r.pattern, err = compilePython(a.Regexp, "m"); err != nil {
		return r, fmt.Errorf("regexp: %w", err)
	}
	if r.expansion, err = parseExpansion(a.Replace, r.pattern); err != nil {
		return r, fmt.Errorf("replace: %w", err)
	}
	var section string
	switch {
	case a.After != "" && a.Before != "":
		section = a.After + "(?P<subsection>.*?)" + a.Before
	case a.After != "":
		section = a.After + "(?P<subsection>.*)"
	case a.Before != "":
		section = "(?P<subsection>.*)" + a.Before
	default:
		return r, nil
	}
	if r.section, err = compilePython(section, "s"); err != nil {
		return r, fmt.Errorf("after or before: %w", err)
	}
	return r, nil
}

// replace edits text once and says what came of it.
func (r replacer) replace(text string) (edited, message string) {
	start, end := 0, len(text)
	if r.section != nil {
		match := r.section.FindStringSubmatchIndex(text)
		if match == nil {
			return text, "Pattern for before/after params did not match the given file: " + strings.TrimPrefix(r.section.String(), "(?s)")
		}
		group := 2 * r.section.SubexpIndex("subsection")
		start, end = match[group], match[group+1]
	}
	section := text[start:end]
	var out strings.Builder
	out.WriteString(text[:start])
	matches, at := r.pattern.FindAllStringSubmatchIndex(section, -1), 0
	for _, match := range matches {
		out.WriteString(section[at:match[0]])
		out.WriteString(r.expansion.expand(section, match))
		at = match[1]
	}
	out.WriteString(section[at:])
	out.WriteString(text[end:])
	if out.String() == text {
		return text, ""
	}
	return out.String(), fmt.Sprintf("%d replacements made", len(matches))
}
