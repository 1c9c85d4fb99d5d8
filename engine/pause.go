package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules"
)

// pauseRun waits for a time, or for a person.
func (x *execution) pauseRun(ctx context.Context, h *host, it *item, args map[string]any) (modules.Outcome, error) {
	a, err := decode[*modules.PauseArgs](x, args)
	if err != nil {
		return modules.Outcome{}, err
	}
	var seconds float64
	switch {
	case a.Seconds != nil:
		seconds = *a.Seconds
	case a.Minutes != nil:
		seconds = 60 * *a.Minutes
	default:
		return x.pauseForPerson(ctx, it, a)
	}
	if it.check {
		return modules.Outcome{Status: modules.OK, Result: modules.Result{"stdout": "Not paused in check mode", "echo": a.Echo, "user_input": ""}}, nil
	}
	if a.Prompt != "" {
		x.emit(event.Message{Task: x.id, Host: h.name, Text: it.show.text(a.Prompt)})
	}
	began := time.Now()
	if err := rest(ctx, seconds); err != nil {
		return modules.Outcome{}, err
	}
	return pauseOutcome(a, began, ""), nil
}

// pauseForPerson asks. Several hosts ask one after another.
func (x *execution) pauseForPerson(ctx context.Context, it *item, a *modules.PauseArgs) (modules.Outcome, error) {
	if it.check {
		return modules.Outcome{Status: modules.OK, Unknown: "what a person answers", Result: modules.Result{"echo": a.Echo}}, nil
	}
	request := PromptRequest{Name: "pause", Text: a.Prompt, Private: !a.Echo, Place: x.task.Range}
	if request.Text == "" {
		request.Text = "Press enter to continue"
	}
	x.asking.Lock()
	defer x.asking.Unlock()
	began := time.Now()
	answer, err := "", ErrNobodyToAsk
	if x.Prompt != nil {
		answer, err = x.Prompt(ctx, request)
	}
	if errors.Is(err, ErrNobodyToAsk) {
		return failedWith(nil, "pause waits for a person: %v; give it seconds or minutes", err), nil
	}
	if err != nil {
		return modules.Outcome{}, err
	}
	if !a.Echo {
		x.secrets.add(answer)
	}
	return pauseOutcome(a, began, answer), nil
}

func pauseOutcome(a *modules.PauseArgs, began time.Time, answer string) modules.Outcome {
	const layout = "2006-01-02 15:04:05.000000"
	took := time.Since(began)
	return modules.Outcome{Status: modules.OK, Result: modules.Result{
		"stdout": fmt.Sprintf("Paused for %.2f seconds", took.Seconds()), "delta": int(took.Seconds()), "echo": a.Echo,
		"start": began.Format(layout), "stop": began.Add(took).Format(layout), "user_input": answer,
	}}
}
