package modules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// OpenFilesArgs are the arguments of open_files.
type OpenFilesArgs struct {
	Path    string  `arg:"path,required" doc:"A file or folder; what lies below counts too."`
	State   string  `arg:"state" default:"query" choices:"query,absent" doc:"query: tell who uses it. absent: wait until nobody does, and fail when that does not come."`
	Timeout float64 `arg:"timeout" default:"30" doc:"Seconds to wait for absent."`
}

// Validate refuses what cannot be waited for.
func (a *OpenFilesArgs) Validate() error {
	if !path.IsAbs(a.Path) {
		return fmt.Errorf("open_files: path: %s is not an absolute path", a.Path)
	}
	if a.Timeout < 0 {
		return errors.New("open_files: timeout: wants 0 or more seconds")
	}
	return nil
}

func openFilesSpec() Spec {
	return Spec{
		Name:    "open_files",
		Summary: "See that no process uses a folder",
		Notes: []string{
			"A process uses a folder that it has a file open in, that is its working or root directory, or that is mounted in its container. It only reads and never changes anything.",
		},
		Place: OnHost,
		New:   func() Module { return &OpenFilesArgs{} },
		Returns: []Return{
			{Name: "path", Type: "string", Doc: "The path."},
			{Name: "processes", Type: "list", Doc: "Who uses it: a mapping of pid and name for each process."},
		},
		Examples: []Example{{"Before a folder is copied", `
open_files:
  path: /grdata
  state: absent`}},
	}
}

// Plan looks, and with absent looks again until nobody uses the path. There are
// never any steps.
func (a *OpenFilesArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	const pause = 500 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		users, err := host.Processes().Using(ctx, path.Clean(a.Path))
		if err != nil {
			return Plan{}, err
		}
		if a.State == "query" || len(users) == 0 {
			return Plan{Result: a.result(users)}, nil
		}
		if waited.Seconds() >= a.Timeout {
			return Plan{}, fmt.Errorf("%s is still used by %s; stop them and run again", a.Path, processList(users))
		}
		if err := host.Pause(ctx, pause); err != nil {
			return Plan{}, err
		}
	}
}

func (a *OpenFilesArgs) result(users []sys.Process) Result {
	list := make([]any, len(users))
	for i, p := range users {
		list[i] = map[string]any{"pid": p.PID, "name": p.Name}
	}
	return Result{"path": a.Path, "processes": list}
}

func processList(users []sys.Process) string {
	const most = 10
	var texts []string
	for i, p := range users {
		if i == most {
			texts = append(texts, fmt.Sprintf("%d more", len(users)-most))
			break
		}
		texts = append(texts, fmt.Sprintf("%s (process %d)", p.Name, p.PID))
	}
	return strings.Join(texts, ", ")
}
