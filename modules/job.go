package modules

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/big"
	"path"
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// A job is a task with async. It runs in a process of its own, which outlives
// the agent that started it, and is known to later tasks and later runs by a
// record: a file called like the job in a folder of the user's own, mode 0700.
// Whoever starts the job writes the record, the job replaces it when it ends, and
// async_status reads or removes it. The record holds what the module reported, so
// it has mode 0600; the task's arguments never lie on the disk.

// JobRecord is what is known of a job.
type JobRecord struct {
	ID       string
	Module   string
	Until    time.Time // when it is ended at the latest, by the host's clock
	Finished bool
	Outcome  Outcome         // of one that has finished
	Begun    []change.Change // of a step that was begun and not done
}

// jobGrace is how long after its time a job may take to end and write its record.
const jobGrace = 30 * time.Second

var jobName = lazy.Regexp(`^j[0-9]{12}\.[0-9]+$`)

// NewJobID makes the name of a job, like Ansible's.
func NewJobID(pid int) string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000_000_000))
	if err != nil {
		panic("modules: the system's random numbers: " + err.Error()) // documented never to happen
	}
	return fmt.Sprintf("j%012d.%d", n, pid)
}

// JobFile is where the record of a job of the agent's user lies. An id that no
// job can have is an error.
func JobFile(ctx context.Context, host sys.Reader, id string) (string, error) {
	if !jobName().MatchString(id) {
		return "", fmt.Errorf("%q is not the name of a job; take ansible_job_id of the task that started it", id)
	}
	system, err := host.System(ctx)
	if err != nil {
		return "", fmt.Errorf("whose jobs: %w", err)
	}
	user, err := host.Users().UserByID(ctx, system.UID)
	if err != nil {
		return "", fmt.Errorf("whose jobs: %w", err)
	}
	if !path.IsAbs(user.Home) {
		return "", fmt.Errorf("the user %s has no home folder to keep jobs in", user.Name)
	}
	return path.Join(user.Home, ".rbdplay_async", id), nil
}

// MakeJobFolder makes the folder of file, or sees that it is the agent's user's
// own and closed to all others.
func MakeJobFolder(ctx context.Context, host sys.Host, file string) error {
	folder := path.Dir(file)
	info, err := host.Files().Lstat(ctx, folder)
	if errors.Is(err, fs.ErrNotExist) {
		mode := uint32(0o700)
		if err := host.Change().Files().Mkdir(ctx, folder, sys.Attributes{Mode: &mode}); err != nil {
			return fmt.Errorf("folder for jobs: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("folder for jobs: %w", err)
	}
	system, err := host.System(ctx)
	if err != nil {
		return fmt.Errorf("folder for jobs: %w", err)
	}
	if info.Type != sys.Directory || info.Mode&0o077 != 0 || info.UID != system.UID {
		return fmt.Errorf("%s must be a folder of the user's own with mode 0700", folder)
	}
	return nil
}

// record is a JobRecord on the disk.
type record struct {
	ID       string           `json:"ansible_job_id"`
	Started  int              `json:"started"`
	Finished int              `json:"finished"`
	Module   string           `json:"module"`
	Until    time.Time        `json:"until"`
	Status   Status           `json:"status,omitempty"`
	Message  string           `json:"message,omitempty"`
	Result   map[string]any   `json:"result,omitempty"`
	Changes  []recordedChange `json:"changes,omitempty"`
	Begun    []recordedChange `json:"begun,omitempty"`
}

type recordedChange struct {
	Target, Field string
	Action        change.Action
	Before, After recordedValue
}

// recordedValue is a change.Value that JSON writes as it is.
type recordedValue struct {
	Kind change.Kind
	Text string
}

// WriteJob puts the record of a job in its place.
func WriteJob(ctx context.Context, host sys.Host, file string, job JobRecord) error {
	r := record{ID: job.ID, Started: 1, Module: job.Module, Until: job.Until}
	if job.Finished {
		r.Finished, r.Status, r.Message, r.Result = 1, job.Outcome.Status, job.Outcome.Message, job.Outcome.Result
	}
	r.Changes, r.Begun = recorded(job.Outcome.Changes), recorded(job.Begun)
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record of job %s: %w", job.ID, err)
	}
	mode := uint32(0o600)
	return host.Change().Files().Write(ctx, file, textContent(text), sys.Attributes{Mode: &mode})
}

// ReadJob reads the record of a job. When there is none, the error is
// fs.ErrNotExist.
func ReadJob(ctx context.Context, host sys.Reader, file string) (JobRecord, error) {
	f, err := host.Files().Open(ctx, file)
	if err != nil {
		return JobRecord{}, err
	}
	defer f.Close() //nolint:errcheck // only read from
	text, err := io.ReadAll(f)
	if err != nil {
		return JobRecord{}, err
	}
	var r record
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&r); err != nil {
		return JobRecord{}, fmt.Errorf("the record %s is damaged: %w", file, err)
	}
	job := JobRecord{ID: r.ID, Module: r.Module, Until: r.Until, Finished: r.Finished == 1}
	job.Outcome = Outcome{Status: r.Status, Message: r.Message, Result: Result{}}
	for key, value := range r.Result {
		job.Outcome.Result[key] = numbers(value)
	}
	job.Outcome.Changes, job.Begun = changesOf(r.Changes), changesOf(r.Begun)
	return job, nil
}

func recorded(changes []change.Change) []recordedChange {
	var list []recordedChange
	for _, c := range changes {
		list = append(list, recordedChange{c.Target, c.Field, c.Action, recordedValue(c.Before), recordedValue(c.After)})
	}
	return list
}

func changesOf(list []recordedChange) []change.Change {
	var changes []change.Change
	for _, c := range list {
		changes = append(changes, change.Change{
			Target: c.Target, Field: c.Field, Action: c.Action, Before: change.Value(c.Before), After: change.Value(c.After),
		})
	}
	return changes
}

// numbers gives the numbers of decoded JSON the types that results have.
func numbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // one too large has become infinite
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = numbers(v[key])
		}
	}
	return value
}

// Result are the keys that a job reports: those of its module when it has
// finished, and always its own.
func (j JobRecord) Result(file string) Result {
	result := Result{}
	finished := 0
	if j.Finished {
		finished = 1
		maps.Copy(result, j.Outcome.Result)
	}
	result["ansible_job_id"], result["results_file"] = j.ID, file
	result["started"], result["finished"] = 1, finished
	return result
}

// Lost says why a job that has not finished never will, or "".
func (j JobRecord) Lost(now time.Time) string {
	if j.Finished || now.Before(j.Until.Add(jobGrace)) {
		return ""
	}
	return "the job is gone without a result: it was killed, or the host was restarted"
}
