package modules

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// BlockinfileArgs are the arguments of blockinfile.
type BlockinfileArgs struct {
	Path           string `arg:"path,required" alias:"dest,destfile,name" type:"path" doc:"The file to edit. A symlink is followed."`
	State          string `arg:"state" default:"present" choices:"present,absent" doc:"Whether the block should be there."`
	Block          string `arg:"block" alias:"content" doc:"The lines between the markers. Without any the block is removed."`
	Marker         string `arg:"marker" default:"# {mark} ANSIBLE MANAGED BLOCK" doc:"The lines around the block; {mark} becomes marker_begin and marker_end."`
	MarkerBegin    string `arg:"marker_begin" default:"BEGIN" doc:"What {mark} becomes above the block."`
	MarkerEnd      string `arg:"marker_end" default:"END" doc:"What {mark} becomes below the block."`
	InsertAfter    string `arg:"insertafter" doc:"Where a new block goes: behind the last line that matches this expression, or EOF (the default)."`
	InsertBefore   string `arg:"insertbefore" doc:"Where a new block goes: before the last line that matches this expression, or BOF."`
	Create         bool   `arg:"create" default:"no" doc:"Make the file when it does not exist."`
	AppendNewline  bool   `arg:"append_newline" default:"no" doc:"Have an empty line behind the block, unless the file ends there."`
	PrependNewline bool   `arg:"prepend_newline" default:"no" doc:"Have an empty line before the block, unless the file begins there."`
	TextOptions
}

func blockinfileSpec() Spec {
	return Spec{
		Name:      "blockinfile",
		Summary:   "Ensure that a block of lines between two markers is in a file, or is not",
		Place:     OnHost,
		EditsFile: true,
		New:       func() Module { return &BlockinfileArgs{} },
		Notes: []string{
			"A marker without its partner is an error: what lies behind it could be somebody's own lines.",
			pythonRegexpNote,
		},
		Returns: slices.Concat([]Return{
			{Name: "rc", Type: "int", Doc: "Only when the file is not there: 257."},
			{Name: "msg", Type: "string", Doc: "What was done: Block inserted, Block removed."},
		}, textReturns),
		Examples: []Example{
			{"Some kernel settings", `
blockinfile:
  path: /etc/sysctl.d/90-cluster.conf
  create: yes
  block: |
    net.ipv4.ip_forward = 1
    net.ipv4.ip_nonlocal_bind = 1`},
			{"A block of its own name, taken out again", `
blockinfile:
  path: /etc/ssh/sshd_config
  marker: "# {mark} rbdplay: backup user"
  state: absent`},
		},
	}
}

// Validate checks the markers and the expressions.
func (a *BlockinfileArgs) Validate() error {
	_, err := a.editor()
	return err
}

// Plan puts the block in its place, or takes it out.
func (a *BlockinfileArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	editor, err := a.editor()
	if err != nil {
		return Plan{}, err
	}
	file, err := openText(ctx, host, a.Path)
	if err != nil {
		return Plan{}, err
	}
	if !file.exists && a.State == "absent" {
		return file.absent(), nil
	}
	if !file.exists && !a.Create {
		return Plan{Result: Result{"rc": 257}}, fmt.Errorf("%s does not exist; create: yes would make it", a.Path)
	}
	text, err := editor.edit(file.text)
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", a.Path, err)
	}
	plan, err := file.become(ctx, host, text, a.TextOptions)
	if err != nil {
		return Plan{}, err
	}
	message := ""
	switch {
	case text == file.text:
	case len(editor.block) == 0:
		message = "Block removed"
	default:
		message = "Block inserted"
	}
	plan.Once["msg"] = message
	return plan, nil
}

// blockEditor is the arguments, checked and taken apart.
type blockEditor struct {
	args       *BlockinfileArgs
	block      []string // with its markers; empty to remove it
	begin, end string
	place      *regexp.Regexp // nil for an end of the file
}

func (a *BlockinfileArgs) editor() (*blockEditor, error) {
	e := &blockEditor{
		args:  a,
		begin: strings.ReplaceAll(a.Marker, "{mark}", a.MarkerBegin),
		end:   strings.ReplaceAll(a.Marker, "{mark}", a.MarkerEnd),
	}
	switch {
	case a.InsertAfter != "" && a.InsertBefore != "":
		return nil, errors.New("insertafter and insertbefore exclude each other")
	case e.begin == e.end:
		return nil, fmt.Errorf("marker %q gives the same line above and below the block; put {mark} into it", a.Marker)
	case strings.ContainsAny(e.begin+e.end, "\n"):
		return nil, errors.New("a marker is one line")
	}
	if err := a.noPreserve(); err != nil {
		return nil, err
	}
	if place := a.InsertAfter + a.InsertBefore; place != "" && place != "BOF" && place != "EOF" {
		var err error
		if e.place, err = compilePython(place, ""); err != nil {
			return nil, fmt.Errorf("insertafter or insertbefore: %w", err)
		}
	}
	if a.State == "absent" || a.Block == "" {
		return e, nil
	}
	for _, line := range splitLines(strings.TrimSuffix(a.Block, "\n") + "\n") {
		if bare(line) == e.begin || bare(line) == e.end {
			return nil, fmt.Errorf("the block holds its own marker %q", bare(line))
		}
		e.block = append(e.block, line)
	}
	e.block = slices.Concat([]string{e.begin + "\n"}, e.block, []string{e.end + "\n"})
	return e, nil
}

// edit takes out the old block, if there is one, and puts the new one there. Of
// several blocks the last counts, but absent takes them all.
func (e *blockEditor) edit(text string) (string, error) {
	lines := splitLines(text)
	at, end, err := e.find(lines)
	switch {
	case err != nil:
		return "", err
	case at >= 0 && len(e.block) == 0:
		return e.edit(strings.Join(slices.Delete(lines, at, end), "")) // there may be more
	case at >= 0:
		lines = slices.Delete(lines, at, end)
	case len(e.block) == 0:
		return text, nil
	default:
		at = e.insertionPoint(lines)
	}
	if at > 0 && len(e.block) > 0 && !strings.HasSuffix(lines[at-1], "\n") {
		lines[at-1] += "\n"
	}
	block := e.block
	if len(block) > 0 && e.args.PrependNewline && at > 0 && lines[at-1] != "\n" {
		block = slices.Concat([]string{"\n"}, block)
	}
	if len(block) > 0 && e.args.AppendNewline && at < len(lines) && lines[at] != "\n" {
		block = slices.Concat(block, []string{"\n"})
	}
	return strings.Join(slices.Insert(lines, at, block...), ""), nil
}

// find gives the lines of the last block, from its begin marker to behind its end
// marker; start is -1 when there is none.
func (e *blockEditor) find(lines []string) (start, end int, err error) {
	start, end = -1, -1
	open := -1
	for i, line := range lines {
		switch bare(line) {
		case e.begin:
			if open >= 0 {
				return 0, 0, fmt.Errorf("line %d has the marker %q, and no %q follows", open+1, e.begin, e.end)
			}
			open = i
		case e.end:
			if open < 0 {
				return 0, 0, fmt.Errorf("line %d has the marker %q without %q above it", i+1, e.end, e.begin)
			}
			start, end, open = open, i+1, -1
		}
	}
	if open >= 0 {
		return 0, 0, fmt.Errorf("line %d has the marker %q, and no %q follows", open+1, e.begin, e.end)
	}
	return start, end, nil
}

// insertionPoint is the index of the line before which a new block goes.
func (e *blockEditor) insertionPoint(lines []string) int {
	switch {
	case e.place == nil && (e.args.InsertBefore == "BOF" || e.args.InsertAfter == "BOF"):
		return 0
	case e.place == nil:
		return len(lines)
	}
	at := len(lines)
	for i, line := range lines {
		if e.place.MatchString(strings.TrimSuffix(line, "\n")) {
			at = i
			if e.args.InsertAfter != "" {
				at++
			}
		}
	}
	return at
}
