// Package fakemodules is a small set of modules for the tests of package agent:
// each does one thing that the two ends have to carry.
package fakemodules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// Registry is the registry of the fake modules.
func Registry() (*modules.Registry, error) {
	spec := func(name string, create func() modules.Module) modules.Spec {
		return modules.Spec{Name: name, Summary: name, Place: modules.OnHost, New: create}
	}
	return modules.NewRegistry(
		spec("echo", func() modules.Module { return &Echo{} }),
		spec("types", func() modules.Module { return &Types{} }),
		spec("put", func() modules.Module { return &Put{} }),
		spec("run", func() modules.Module { return &Run{} }),
		spec("hang", func() modules.Module { return &Hang{} }),
		spec("misbehave", func() modules.Module { return &Misbehave{} }),
		modules.Spec{Name: "controller", Summary: "x", Place: modules.OnController, New: func() modules.Module { return &Echo{} }},
	)
}

// event is a step that is done by a function.
type event struct {
	target string
	do     func(ctx context.Context, host sys.Host, result modules.Result) error
}

func (e event) Changes() []change.Change {
	return []change.Change{{Target: e.target, Action: change.Run, After: change.Text("done")}}
}

func (e event) Do(ctx context.Context, host sys.Host, result modules.Result) error {
	return e.do(ctx, host, result)
}

// Echo reports its text; "fail" as text fails.
type Echo struct {
	Text string `arg:"text,required" doc:"What to report."`
}

// Plan implements modules.Module.
func (a *Echo) Plan(context.Context, sys.Reader) (modules.Plan, error) {
	if a.Text == "fail" {
		return modules.Plan{}, errors.New("asked to fail")
	}
	return modules.Plan{
		Result: modules.Result{"text": a.Text},
		Steps:  []modules.Step{event{"echo " + a.Text, func(context.Context, sys.Host, modules.Result) error { return nil }}},
	}, nil
}

// Types reports the Go types of what arrived.
type Types struct {
	Value any `arg:"value,required" doc:"Anything."`
}

// Plan implements modules.Module.
func (a *Types) Plan(context.Context, sys.Reader) (modules.Plan, error) {
	return modules.Plan{Result: modules.Result{"types": describe(a.Value)}}, nil
}

func describe(value any) any {
	switch v := value.(type) {
	case []any:
		list := []any{}
		for _, item := range v {
			list = append(list, describe(item))
		}
		return list
	case map[string]any:
		m := map[string]any{}
		for key, item := range v {
			m[key] = describe(item)
		}
		return m
	default:
		return fmt.Sprintf("%T %v", value, value)
	}
}

// Put writes a file of the controller to a path of the host.
type Put struct {
	Src  *modules.Content `arg:"src,required" doc:"The file." content:"file"`
	Dest string           `arg:"dest,required" doc:"Where to."`
}

// Plan implements modules.Module.
func (a *Put) Plan(ctx context.Context, host sys.Reader) (modules.Plan, error) {
	f, err := host.Files().Open(ctx, a.Dest)
	if err == nil {
		have, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return modules.Plan{}, err
		}
		if int64(len(have)) == a.Src.Size() {
			return modules.Plan{Result: modules.Result{"size": int64(len(have))}}, nil
		}
	}
	return modules.Plan{Steps: []modules.Step{put{a}}}, nil
}

type put struct{ *Put }

func (s put) Changes() []change.Change {
	return []change.Change{{Target: s.Dest, Action: change.Create, Field: "content", After: change.Summary(s.Src.SHA256())}}
}

func (s put) Do(ctx context.Context, host sys.Host, _ modules.Result) error {
	return host.Change().Files().Write(ctx, s.Dest, s.Src, sys.Attributes{})
}

// Run runs a shell command.
type Run struct {
	Command string `arg:"command,required" doc:"For sh -c."`
}

// Plan implements modules.Module.
func (a *Run) Plan(context.Context, sys.Reader) (modules.Plan, error) {
	return modules.Plan{Steps: []modules.Step{event{"run", func(ctx context.Context, host sys.Host, result modules.Result) error {
		r, err := host.Change().Run(ctx, sys.Command{Args: []string{"/bin/sh", "-c", a.Command}})
		result["rc"], result["stdout"] = r.Code, string(r.Stdout)
		return err
	}}}}, nil
}

// Hang waits until it is cancelled, and notes in a file that it has begun and
// that it has ended.
type Hang struct {
	Mark     string `arg:"mark,required" doc:"File that gets the notes."`
	Stubborn bool   `arg:"stubborn" doc:"Go on for a second after having been cancelled."`
}

// Plan implements modules.Module.
func (a *Hang) Plan(ctx context.Context, _ sys.Reader) (modules.Plan, error) {
	if err := os.WriteFile(a.Mark, []byte("begun"), 0o600); err != nil {
		return modules.Plan{}, err
	}
	<-ctx.Done()
	if a.Stubborn {
		time.Sleep(time.Second)
	}
	return modules.Plan{}, errors.Join(os.WriteFile(a.Mark, []byte("ended"), 0o600), ctx.Err())
}

// Misbehave does what no module should.
type Misbehave struct {
	How string `arg:"how,required" doc:"panic, odd, huge, print, path."`
}

// Plan implements modules.Module.
func (a *Misbehave) Plan(context.Context, sys.Reader) (modules.Plan, error) {
	switch a.How {
	case "panic":
		panic("at the disco")
	case "odd":
		return modules.Plan{Result: modules.Result{"list": []any{uint16(7)}}}, nil
	case "huge":
		return modules.Plan{Result: modules.Result{"stdout": strings.Repeat("x", 257<<20)}}, nil
	case "large":
		return modules.Plan{Result: modules.Result{"stdout": strings.Repeat("x", 40<<20)}}, nil
	case "print": // as a library might that knows nothing of the connection
		fmt.Println("noise on standard output")
		n, err := os.Stdin.Read(make([]byte, 1))
		return modules.Plan{Result: modules.Result{"read": fmt.Sprint(n, " ", err)}}, nil
	}
	return modules.Plan{}, fmt.Errorf("cannot %s", a.How)
}
