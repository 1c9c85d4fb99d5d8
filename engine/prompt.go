package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
)

// PromptRequest is what an entry of vars_prompt asks of a person.
type PromptRequest struct {
	Name    string // of the variable
	Text    string // the question, without the default and without a colon
	Default string // what an empty answer means; "" when there is none
	Private bool   // the answer must not be shown while it is typed
	Confirm bool   // it has to be typed twice, alike
	Place   diag.Range
}

// ErrNobodyToAsk is what Options.Prompt returns when there is no terminal: the
// default counts then, and without one the run does not begin.
var ErrNobodyToAsk = errors.New("there is no terminal to ask on")

// ask asks for the variables of every vars_prompt, before any host is contacted.
// A variable that is given with -e is not asked for.
func (r *run) ask(ctx context.Context, extra *scope.Vars) diag.List {
	var found diag.List
	for _, p := range r.Playbook.Plays {
		for _, prompt := range p.Prompts {
			if _, given := extra.Where(prompt.Name); given {
				continue
			}
			vars, err := r.answer(ctx, p, prompt)
			found.AddError(prompt.Range, err)
			r.answers[p] = vars.Over(r.answers[p])
			if ctx.Err() != nil {
				return found
			}
		}
	}
	return found
}

// answer gets the variable of one prompt.
func (r *run) answer(ctx context.Context, p *play.Play, prompt *play.Prompt) (*scope.Vars, error) {
	s := r.vars.Scope().WithLayers(r.layersOf(p))
	text, private, confirm, err := prompt.Question(ctx, s)
	if err != nil {
		return nil, err
	}
	request := PromptRequest{Name: prompt.Name, Text: text, Private: private, Confirm: confirm, Place: prompt.Range}
	if request.Default, err = prompt.Default.Get(ctx, s); err != nil {
		return nil, err
	}
	answer, err := "", ErrNobodyToAsk
	if r.Prompt != nil {
		answer, err = r.Prompt(ctx, request)
	}
	switch {
	case errors.Is(err, ErrNobodyToAsk) && prompt.Default == nil:
		return nil, diag.New(prompt.Range, "%s cannot be asked for: %v", prompt.Name, err).
			WithHint(fmt.Sprintf("give it with -e %s=…, or give the prompt a default", prompt.Name))
	case err != nil && !errors.Is(err, ErrNobodyToAsk):
		return nil, fmt.Errorf("asking for %s: %w", prompt.Name, err)
	case answer == "":
		answer = request.Default
	}
	if private {
		r.secrets.add(answer)
	}
	return prompt.Variable(ctx, s, answer)
}

// layersOf are the variables of a play, with what was asked for.
func (r *run) layersOf(p *play.Play) []scope.Layer {
	if r.answers[p].Len() == 0 {
		return p.Layers
	}
	return append([]scope.Layer{{Level: scope.PlayVarsPrompt, Vars: r.answers[p]}}, p.Layers...)
}
