package engine

import (
	"context"

	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/play"
)

// StepAnswer is what a person says to a task before it runs.
type StepAnswer int

// The answers.
const (
	StepSkip     StepAnswer = iota // pass by this task
	StepRun                        // run it
	StepContinue                   // run it and ask no more
)

// wanted asks whether a task is to run, with Options.Step. When nobody can say,
// the task is passed by.
func (p *playRun) wanted(ctx context.Context, t *play.Task, first *host) bool {
	if p.Step == nil || p.unasked {
		return true
	}
	answer, err := p.Step(ctx, t.Title(ctx, t.Scope(p.scope(first))))
	if err != nil {
		p.emit(event.Message{Text: "asking before the task: " + err.Error() + "; it is passed by", Warning: true})
		return false
	}
	p.unasked = answer == StepContinue
	return answer != StepSkip
}
