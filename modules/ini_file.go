package modules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// IniFileArgs are the arguments of ini_file.
type IniFileArgs struct {
	Path                 string   `arg:"path,required" alias:"dest" type:"path" doc:"The file to edit. A symlink is followed."`
	Section              string   `arg:"section" doc:"The section, without brackets. Not given, option stands before the first section."`
	Option               string   `arg:"option" doc:"The option. Not given, state is about the whole section."`
	Value                *string  `arg:"value" doc:"The value. Excludes values."`
	Values               []string `arg:"values" doc:"The values of an option that may stand several times."`
	State                string   `arg:"state" default:"present" choices:"present,absent" doc:"Whether the option, or the section, should be there."`
	Exclusive            bool     `arg:"exclusive" default:"yes" doc:"The values are all that the option has. With no, others stay, and absent removes these only."`
	AllowNoValue         bool     `arg:"allow_no_value" default:"no" doc:"An option without a value is a line without an equals sign."`
	NoExtraSpaces        bool     `arg:"no_extra_spaces" default:"no" doc:"Write no spaces around the equals sign."`
	IgnoreSpaces         bool     `arg:"ignore_spaces" default:"no" doc:"Leave a line that differs in nothing but the spaces around the equals sign."`
	ModifyInactiveOption bool     `arg:"modify_inactive_option" default:"yes" doc:"A commented line of the option may be used for it."`
	Follow               bool     `arg:"follow" default:"yes" doc:"Only yes is supported: a link is never replaced by a file."`
	Create               bool     `arg:"create" default:"yes" doc:"Make the file when it does not exist."`
	TextOptions
}

func iniFileSpec() Spec {
	return Spec{
		Name:    "ini_file",
		Aliases: []string{"community.general.ini_file"},
		Summary: "Set an option of an INI file, or remove it",
		Place:   OnHost,
		New:     func() Module { return &IniFileArgs{} },
		Notes: []string{
			"Of several sections with one name the first counts; a section that should be absent goes wherever it stands. A line that has the value already is kept before a commented one is used, so that a file that is as it should be stays as it is.",
		},
		Returns: slices.Concat([]Return{
			{Name: "msg", Type: "string", Doc: "What was done: OK, option added, option changed, section and option added, only section added, section removed."},
		}, textReturns),
		Examples: []Example{
			{"An option in a section", `
ini_file:
  path: /etc/mysql/conf.d/rainbond.cnf
  section: mysqld
  option: max_connections
  value: "1000"`},
			{"All values of an option that may be repeated", `
ini_file:
  path: /etc/systemd/resolved.conf
  section: Resolve
  option: DNS
  values: [10.77.0.12, 10.77.0.13]
  no_extra_spaces: yes`},
			{"Remove a section", `
ini_file:
  path: /etc/yum.repos.d/old.repo
  section: old
  state: absent`},
		},
	}
}

// Validate checks what belongs together.
func (a *IniFileArgs) Validate() error {
	switch {
	case a.Section == "" && a.Option == "":
		return errors.New("ini_file needs section, option or both")
	case a.Value != nil && a.Values != nil:
		return errors.New("value and values exclude each other")
	case a.Option == "" && (a.Value != nil || a.Values != nil):
		return errors.New("value and values need option")
	case a.Option != "" && a.State == "present" && len(a.wanted()) == 0 && !a.AllowNoValue:
		return errors.New("state: present needs value or values, or allow_no_value")
	case a.Option != "" && a.State == "absent" && !a.Exclusive && len(a.wanted()) == 0:
		return errors.New("state: absent with exclusive: no needs the values to remove")
	case !a.Follow:
		return errors.New("follow can only be yes")
	}
	for name, text := range map[string]string{"section": a.Section, "option": a.Option, "value": strings.Join(a.wanted(), "")} {
		if strings.ContainsAny(text, "\n\r") {
			return fmt.Errorf("%s holds a line end", name)
		}
	}
	if strings.ContainsAny(a.Section, "[]") {
		return errors.New("section is written without brackets")
	}
	if name := strings.TrimSpace(a.Option); name != a.Option || strings.ContainsAny(name, "=#;") || strings.HasPrefix(name, "[") {
		return fmt.Errorf("option: %q is no name of an option", a.Option)
	}
	return a.noPreserve()
}

// wanted are the values without repetition.
func (a *IniFileArgs) wanted() []string {
	if a.Value != nil {
		return []string{strings.TrimSpace(*a.Value)}
	}
	var values []string
	for _, v := range a.Values {
		if v = strings.TrimSpace(v); !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values
}

// Plan edits the text as it is now.
func (a *IniFileArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	if err := a.Validate(); err != nil {
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
		return Plan{}, fmt.Errorf("%s does not exist; create: yes would make it", a.Path)
	}
	text, message := a.edit(file.text)
	plan, err := file.become(ctx, host, text, a.TextOptions)
	if err != nil {
		return Plan{}, err
	}
	plan.Once["msg"] = message
	return plan, nil
}
