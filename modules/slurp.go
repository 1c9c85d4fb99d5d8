package modules

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// SlurpArgs are the arguments of slurp.
type SlurpArgs struct {
	Src string `arg:"src,required" alias:"path" type:"path" doc:"The file to read. A symlink is followed."`
}

func slurpSpec() Spec {
	return Spec{
		Name:    "slurp",
		Summary: "Read a file of the host",
		Place:   OnHost,
		New:     func() Module { return &SlurpArgs{} },
		Returns: []Return{
			{Name: "content", Type: "string", Doc: "The content, in base64."},
			{Name: "encoding", Type: "string", Doc: "Always base64."},
			{Name: "source", Type: "string", Doc: "The file that was read."},
		},
		Examples: []Example{{"The wildcard domain of the cluster", `
slurp:
  src: /opt/rainbond/.domain.log`}},
	}
}

// Plan reads; there is nothing to do.
func (a *SlurpArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	file, err := openText(ctx, host, a.Src)
	if err != nil {
		return Plan{}, err
	}
	if !file.exists {
		return Plan{}, fmt.Errorf("%s does not exist", a.Src)
	}
	return Plan{Result: Result{
		"content": base64.StdEncoding.EncodeToString([]byte(file.text)), "encoding": "base64", "source": file.path,
	}}, nil
}
