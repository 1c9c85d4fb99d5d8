package modules

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// TempfileArgs are the arguments of tempfile.
type TempfileArgs struct {
	State  string `arg:"state" default:"file" choices:"directory,file" doc:"What to make."`
	Path   string `arg:"path" default:"/tmp" type:"path" doc:"The directory to make it in."`
	Prefix string `arg:"prefix" default:"ansible." doc:"What its name begins with."`
	Suffix string `arg:"suffix" doc:"What its name ends with."`
}

func tempfileSpec() Spec {
	return Spec{
		Name:    "tempfile",
		Summary: "Make an empty file or directory with a name of its own",
		Place:   OnHost,
		New:     func() Module { return &TempfileArgs{} },
		Notes: []string{
			"Each run makes another one, which only its owner may read; nothing removes it afterwards. Its name is made up while it is made: check mode says that one would be made, and defers the tasks that need its path.",
		},
		Returns: []Return{
			{Name: "path", Type: "string", Doc: "What was made.", Run: true},
			{Name: "state", Type: "string", Doc: "file or directory."},
		},
		Examples: []Example{{"A folder to unpack into", `
tempfile:
  state: directory
  suffix: build
register: folder`}},
	}
}

// Validate wants a name.
func (a *TempfileArgs) Validate() error {
	if strings.Contains(a.Prefix+a.Suffix, "/") {
		return errors.New("prefix and suffix are parts of a name and hold no slash")
	}
	return nil
}

// Plan sees that the directory is there.
func (a *TempfileArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	folder, err := lookThrough(ctx, host, a.Path)
	if err != nil {
		return Plan{}, err
	}
	if !folder.is(sys.Directory) {
		return Plan{}, fmt.Errorf("path %s is %s, not a directory", a.Path, folder.typeOf())
	}
	return Plan{
		Result: Result{"state": a.State},
		Steps: []Step{happening(folder.path, "temporary "+a.State, func(ctx context.Context, host sys.Host, result Result) error {
			return reallyDo(ctx, host, "the name of the temporary "+a.State, func(ctx context.Context) error {
				return a.make(ctx, host, folder.path, result)
			})
		})},
	}, nil
}

// make relies on 128 random bits: nobody can have taken the name.
func (a *TempfileArgs) make(ctx context.Context, host sys.Host, folder string, result Result) error {
	at := path.Join(folder, a.Prefix+strings.ToLower(rand.Text())+a.Suffix)
	files := host.Change().Files()
	var err error
	if a.State == "directory" {
		mode := uint32(0o700)
		err = files.Mkdir(ctx, at, sys.Attributes{Mode: &mode})
	} else {
		mode := uint32(0o600)
		err = files.Write(ctx, at, textContent(""), sys.Attributes{Mode: &mode})
	}
	if err != nil {
		return fmt.Errorf("making %s: %w", at, err)
	}
	result["path"] = at
	return nil
}
