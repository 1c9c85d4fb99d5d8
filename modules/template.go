package modules

import (
	"context"
	"errors"
	"slices"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// TemplateArgs are the arguments of template.
type TemplateArgs struct {
	Src             *Content `arg:"src,required" content:"template" doc:"A template of the controller, looked for in the role's templates and beside the playbook."`
	Dest            string   `arg:"dest,required" type:"path" doc:"Where to. A directory that exists, or a path that ends in a slash, takes the file under the template's name."`
	Force           bool     `arg:"force" default:"yes" doc:"Replace a dest of other content. With no, only a missing one is written."`
	Follow          bool     `arg:"follow" default:"no" doc:"Write through a dest that is a link. Otherwise a file takes the place of the link."`
	TrimBlocks      bool     `arg:"trim_blocks" default:"yes" doc:"Drop the line break behind a {% %}. This and what follows is obeyed on the controller."`
	LstripBlocks    bool     `arg:"lstrip_blocks" default:"no" doc:"Drop the blanks before a {% %} that begins its line."`
	NewlineSequence string   `arg:"newline_sequence" doc:"What the line breaks of the template become: the one of Unix without it, that of Windows, or a lone carriage return, in YAML's double quotes."`
	VariableStart   string   `arg:"variable_start_string" default:"{{" doc:"What begins an expression."`
	VariableEnd     string   `arg:"variable_end_string" default:"}}" doc:"What ends an expression."`
	BlockStart      string   `arg:"block_start_string" default:"{%" doc:"What begins a statement."`
	BlockEnd        string   `arg:"block_end_string" default:"%}" doc:"What ends a statement."`
	CommentStart    string   `arg:"comment_start_string" default:"{#" doc:"What begins a comment."`
	CommentEnd      string   `arg:"comment_end_string" default:"#}" doc:"What ends a comment."`
	WriteOptions
}

func templateSpec() Spec {
	return Spec{
		Name:    "template",
		Summary: "Write a file from a template",
		Place:   OnHost,
		New:     func() Module { return &TemplateArgs{} },
		Notes:   []string{"The template is rendered on the controller, so that a fault in it shows with its line before the host is touched."},
		Returns: slices.DeleteFunc(slices.Clone(copyReturns), func(r Return) bool { return r.Name == "src" }),
		Examples: []Example{
			{"keepalived's instance, tried before it goes in place", `
template:
  src: keepalived.conf.j2
  dest: /etc/keepalived/keepalived.conf
  mode: '0640'
  validate: keepalived -t -f %s`},
		},
	}
}

// Validate checks what belongs together.
func (a *TemplateArgs) Validate() error {
	if a.Mode != nil && a.Mode.Preserve && a.Src != nil && a.Src.Content != nil && a.Src.Mode == 0 {
		return errors.New("mode: preserve: the template's own mode is not known")
	}
	return checkValidate(a.ValidateWith)
}

// Plan compares the rendered text with the file.
func (a *TemplateArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	if err := a.Validate(); err != nil {
		return Plan{}, err
	}
	return fileCopy{source: a.Src, dest: a.Dest, follow: a.Follow, force: a.Force, options: a.WriteOptions}.plan(ctx, host)
}
