package modules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// AsyncStatusArgs are the arguments of async_status.
type AsyncStatusArgs struct {
	Jid  string `arg:"jid,required" doc:"The job: ansible_job_id of what the task with async registered."`
	Mode string `arg:"mode" default:"status" choices:"status,cleanup" doc:"status tells how far the job is, and its result when it has finished; cleanup removes its record."`
}

func asyncStatusSpec() Spec {
	return Spec{
		Name:    "async_status",
		Summary: "Ask how far a job is that a task with async and poll: 0 started",
		Notes: []string{
			"A job belongs to the user that the task became; ask as the same user.",
			"The task fails when the job has failed, and counts as changed when the job changed something. cleanup counts as changed, too.",
		},
		Place: OnHost,
		New:   func() Module { return &AsyncStatusArgs{} },
		Returns: []Return{
			{Name: "ansible_job_id", Type: "string", Doc: "The job."},
			{Name: "started", Type: "int", Doc: "Always 1."},
			{Name: "finished", Type: "int", Doc: "1 when the job has ended, or is not known; else 0. The other keys are then those of its module."},
			{Name: "results_file", Type: "string", Doc: "The job's record on the host."},
			{Name: "erased", Type: "string", Doc: "With cleanup: the record that was removed."},
		},
		Examples: []Example{{"Wait for what was started before", `
async_status:
  jid: "{{ restore.ansible_job_id }}"
register: restored
until: restored.finished
retries: 60
delay: 10`}},
	}
}

// Plan reads the job's record.
func (a *AsyncStatusArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	file, err := JobFile(ctx, host, a.Jid)
	if err != nil {
		return Plan{}, err
	}
	job, err := ReadJob(ctx, host, file)
	if errors.Is(err, fs.ErrNotExist) {
		return Plan{Result: Result{"ansible_job_id": a.Jid, "started": 1, "finished": 1}}, errors.New("could not find job")
	}
	if err != nil {
		return Plan{}, fmt.Errorf("job %s: %w", a.Jid, err)
	}
	if a.Mode == "cleanup" {
		return Plan{
			Result: Result{"ansible_job_id": a.Jid, "erased": file},
			Steps: []Step{happening("job "+a.Jid, "cleanup", func(ctx context.Context, host sys.Host, _ Result) error {
				return host.Change().Files().Remove(ctx, file)
			})},
		}, nil
	}
	return a.status(job, file)
}

func (a *AsyncStatusArgs) status(job JobRecord, file string) (Plan, error) {
	plan := Plan{Result: job.Result(file)}
	if lost := job.Lost(time.Now()); lost != "" {
		plan.Result["finished"] = 1
		return plan, errors.New(lost)
	}
	switch {
	case !job.Finished:
	case job.Outcome.Status == Failed:
		return plan, errors.New(job.Outcome.Message)
	case job.Outcome.Status == Skipped:
		plan.Skipped = job.Outcome.Message
	case job.Outcome.Status == Changed:
		// The job did it; what is left to do is to tell.
		plan.Steps = []Step{happening("job "+a.Jid, "finished", func(context.Context, sys.Host, Result) error { return nil })}
	}
	return plan, nil
}
