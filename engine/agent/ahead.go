package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rbdplay/rbdplay/modules"
)

// ErrUnbegun says that the host never began a task, since one in front of it in
// its chain did not end well.
var ErrUnbegun = errors.New("the task was not begun, since one in front of it did not end well")

// Sent is a task that the host has been told to do.
type Sent struct {
	client *Client
	task   Task
	call   *started
}

// Run implements Runner.
func (c *Client) Run(ctx context.Context, t Task, on func(Event)) ([]modules.Outcome, error) {
	sent, err := c.Begin(ctx, t, nil)
	if err != nil {
		return nil, err
	}
	return sent.Wait(ctx, on)
}

// Begin implements Sender.
func (c *Client) Begin(ctx context.Context, t Task, behind *Sent) (*Sent, error) {
	t.Chain = 0
	if behind != nil {
		t.Chain = behind.call.chain
	}
	m := &message{Task: &t}
	e, err := c.begin(ctx, m, digests(t.Items))
	if err != nil {
		return nil, err
	}
	call := &started{exchange: e, id: m.ID, chain: t.Chain}
	if behind == nil {
		call.chain = call.id
	}
	return &Sent{client: c, task: t, call: call}, nil
}

// Cancel cancels the task and what is behind it, and does not wait for them.
func (s *Sent) Cancel() { s.client.stop(s.call) }

// Begun waits until it is known whether the host has begun a task that was cancelled;
// false means that it never will. Of a host that is lost or does not tell nobody
// knows, and the answer is true.
func (s *Sent) Begun() bool {
	if s.call.first == nil {
		timer := time.NewTimer(cancelGrace)
		defer timer.Stop()
		select {
		case s.call.first = <-s.call.replies:
		case <-s.call.ctx.Done():
			return true
		case <-timer.C:
			return true
		}
	}
	return s.call.first.End == nil || !s.call.first.End.Unbegun
}

// Wait is what Run does once the task is sent; it is called once. The error is
// ErrUnbegun when the host did not begin the task.
func (s *Sent) Wait(ctx context.Context, on func(Event)) ([]modules.Outcome, error) {
	t := s.task
	var outcomes []modules.Outcome
	var broken error
	var known told
	err := s.client.follow(ctx, s.call, func(m *message) {
		known.complete(m)
		e, ok := eventOf(m)
		switch {
		case !ok || e.Item < 0 || e.Item >= len(t.Items):
			broken = errors.New("the agent sends a reply that does not belong to a task")
			return
		case e.Outcome != nil && e.Item != len(outcomes):
			broken = fmt.Errorf("the agent sends the outcome of item %d where that of item %d was due", e.Item, len(outcomes))
			return
		case e.Outcome != nil:
			outcomes = append(outcomes, *e.Outcome)
		}
		if on != nil {
			on(e)
		}
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return outcomes, err
	}
	if n := len(outcomes); n < len(t.Items) && !(t.Stop && n > 0 && outcomes[n-1].Status == modules.Failed) {
		return outcomes, fmt.Errorf("the agent ended a task of %d items after %d outcomes", len(t.Items), n)
	}
	return outcomes, nil
}
