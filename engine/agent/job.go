package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// A task with async is a job: the server starts the agent's program once more, in
// a session of its own, and hands it the task through a pipe, so that arguments,
// which may be secret, lie in no file. The job outlives the agent, ends itself at
// its time, and leaves its outcome in its record (see modules.JobRecord).
//
// A task that waits (poll above 0) is one exchange like any other: the agent is
// the job's parent and learns of its end at once, so nobody polls. When the run
// is interrupted the job is ended with it; when the connection is lost it goes
// on, and its record tells.

// JobArgument is what a program is started with to be a job: it calls RunJob with
// its standard input, and with a context that SIGTERM ends.
const JobArgument = "--job"

// Async makes a task a job.
type Async struct {
	Seconds int  `cbor:"1,keyasint"`           // its time: it is ended then
	Wait    bool `cbor:"2,keyasint,omitempty"` // the task ends with the job
}

// Order is what a job is to do.
type Order struct {
	ID          string            `cbor:"1,keyasint"`
	File        string            `cbor:"2,keyasint"` // of its record
	Module      string            `cbor:"3,keyasint"`
	Args        map[string]any    `cbor:"4,keyasint"`
	Environment map[string]string `cbor:"5,keyasint"`
	Until       time.Time         `cbor:"6,keyasint"`
}

// Jobs starts jobs.
type Jobs interface {
	// Start returns when the job has its order. ended is closed when it has ended;
	// stop asks it to end early. Neither outlives the agent, the job does.
	Start(ctx context.Context, o Order) (ended <-chan struct{}, stop func(), err error)
}

// Detached starts jobs as processes of the given program.
type Detached struct{ Program string }

// Start implements Jobs.
func (d Detached) Start(_ context.Context, o Order) (<-chan struct{}, func(), error) {
	order, err := encoding.Marshal(o)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the job: %w", err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd := &exec.Cmd{
		Path: d.Program, Args: []string{"rbdplay-agent", JobArgument}, Dir: "/", Stdin: in,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = errors.Join(cmd.Start(), in.Close())
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("starting the job: %w", err), out.Close())
	}
	ended := make(chan struct{})
	go func() { // ends with the job, or with this process
		defer close(ended)
		_ = cmd.Wait() // its record tells how it ended
	}()
	_, err = out.Write(order)
	if err = errors.Join(err, out.Close()); err != nil {
		_ = cmd.Process.Kill() // it has no order, so it has done nothing
		<-ended
		return nil, nil, fmt.Errorf("handing the job its order: %w", err)
	}
	return ended, func() { _ = cmd.Process.Signal(syscall.SIGTERM) }, nil
}

// RunJob does the order that it reads from in and writes its record. Cancelling
// ctx ends the job early; its record says so. A module that does not end by then
// is left behind, and the process must exit.
func RunJob(ctx context.Context, in io.Reader, registry *modules.Registry, host sys.Host) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("the job's order: %w", err)
	}
	var o Order
	if err := decoding.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("the job's order: %w", err)
	}
	return DoJob(ctx, o, registry, host)
}

// DoJob is RunJob with an order that has been read.
func DoJob(ctx context.Context, o Order, registry *modules.Registry, host sys.Host) error {
	limited, cancel := context.WithDeadline(sys.WithEnvironment(ctx, o.Environment), o.Until)
	defer cancel()
	began := time.Now()
	ended := make(chan modules.JobRecord, 1)
	go func() { ended <- jobRecord(limited, o, registry, host) }()
	var job modules.JobRecord
	select {
	case job = <-ended:
	case <-afterEnd(limited, cancelGrace):
		job = modules.JobRecord{ID: o.ID, Module: o.Module, Until: o.Until, Finished: true}
		job.Outcome = modules.Outcome{Status: modules.Failed, Message: "it does not end"}
	}
	if limited.Err() != nil && job.Outcome.Status == modules.Failed {
		why := "the job was ended before its time"
		if ctx.Err() == nil {
			why = fmt.Sprintf("the job reached its time limit of %s", o.Until.Sub(began).Round(time.Second))
		}
		job.Outcome.Message = why + ": " + job.Outcome.Message
	}
	// Also when its time is up the record must be written.
	return modules.WriteJob(context.WithoutCancel(ctx), host, o.File, job)
}

// afterEnd is closed some time after ctx has ended.
func afterEnd(ctx context.Context, grace time.Duration) <-chan struct{} {
	over := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(grace, func() { close(over) }) })
	return over
}

func jobRecord(ctx context.Context, o Order, registry *modules.Registry, host sys.Host) modules.JobRecord {
	job := modules.JobRecord{ID: o.ID, Module: o.Module, Until: o.Until, Finished: true}
	spec, ok := registry.Find(o.Module)
	if !ok {
		job.Outcome = modules.Outcome{Status: modules.Failed, Message: "there is no module " + o.Module}
		return job
	}
	m, failed := decodeArgs(spec, o.Args, noContents{})
	if failed != nil {
		job.Outcome = *failed
		return job
	}
	job.Outcome = deliverable(runModule(ctx, spec.Name, m, host, modules.Emit{
		Planned: func(list []change.Change) { job.Begun = list },
		Done:    func([]change.Change) { job.Begun = nil },
	}))
	return job
}

// noContents is for tasks whose arguments name no content of the controller.
type noContents struct{}

func (noContents) Content(ref modules.ContentRef) sys.Content {
	return taskContent{taskContents{store: newStore(), get: func(context.Context, ...string) (io.ReadCloser, error) {
		return nil, errors.New("a job has no controller to get content from")
	}}, ref}
}

// job starts one item of a task as a job, and waits for it when the task does.
func (s *server) job(ctx context.Context, c *call, module string, args map[string]any, emit modules.Emit) modules.Outcome {
	if s.Jobs == nil {
		return modules.Outcome{Status: modules.Failed, Message: "there is no way to start jobs (async) here"}
	}
	async := c.task.Async
	o := Order{
		ID: modules.NewJobID(os.Getpid()), Module: module, Args: args, Environment: c.task.Environment,
		Until: time.Now().Add(time.Duration(async.Seconds) * time.Second),
	}
	ended, stop, err := s.startJob(ctx, &o)
	if err != nil {
		return modules.Outcome{Status: modules.Failed, Message: err.Error()}
	}
	if async.Wait {
		return s.awaitJob(ctx, o, ended, stop, emit)
	}
	started := []change.Change{{Target: "job " + o.ID, Action: change.Run, Field: module}}
	emit.Planned(started)
	emit.Done(started)
	return modules.Outcome{
		Status: modules.Changed, Changes: started,
		Result: modules.JobRecord{ID: o.ID}.Result(o.File),
	}
}

func (s *server) startJob(ctx context.Context, o *Order) (<-chan struct{}, func(), error) {
	file, err := modules.JobFile(ctx, s.Host, o.ID)
	if err != nil {
		return nil, nil, err
	}
	o.File = file
	if err := modules.MakeJobFolder(ctx, s.Host, file); err != nil {
		return nil, nil, err
	}
	if err := modules.WriteJob(ctx, s.Host, file, modules.JobRecord{ID: o.ID, Module: o.Module, Until: o.Until}); err != nil {
		return nil, nil, fmt.Errorf("record of the job: %w", err)
	}
	ended, stop, err := s.Jobs.Start(ctx, *o)
	if err != nil {
		return nil, nil, errors.Join(err, s.Host.Change().Files().Remove(ctx, file))
	}
	return ended, stop, nil
}

// awaitJob waits for a job's end and takes its record away.
func (s *server) awaitJob(ctx context.Context, o Order, ended <-chan struct{}, stop func(), emit modules.Emit) modules.Outcome {
	select {
	case <-ended:
	case <-ctx.Done():
		if s.leaving.Err() != nil { // nobody waits any more
			return modules.Outcome{Status: modules.Failed, Message: ctx.Err().Error()}
		}
		stop()
		<-ended // it ends within its grace, whatever its module does
		ctx = context.WithoutCancel(ctx)
	}
	job, err := modules.ReadJob(ctx, s.Host, o.File)
	if err == nil && !job.Finished {
		err = errors.New("the job has ended without a result")
	}
	if err != nil {
		return modules.Outcome{Status: modules.Failed, Message: fmt.Sprintf("job %s: %v", o.ID, err)}
	}
	outcome := job.Outcome
	outcome.Result = job.Result(o.File)
	if len(outcome.Changes) > 0 {
		emit.Planned(outcome.Changes)
		emit.Done(outcome.Changes)
	}
	if len(job.Begun) > 0 {
		emit.Planned(job.Begun)
	}
	if err := s.Host.Change().Files().Remove(ctx, o.File); err != nil {
		outcome.Status, outcome.Message = modules.Failed, fmt.Sprintf("record of the job: %v", err)
	}
	return outcome
}
