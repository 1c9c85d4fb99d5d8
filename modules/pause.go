package modules

import "errors"

// PauseArgs are the arguments of pause.
type PauseArgs struct {
	onController
	Seconds *float64 `arg:"seconds" doc:"How long to wait."`
	Minutes *float64 `arg:"minutes" doc:"How long to wait, in minutes."`
	Prompt  string   `arg:"prompt" doc:"What to show; without a time it is asked, and the answer waited for."`
	Echo    bool     `arg:"echo" default:"yes" doc:"Show what is typed."`
}

func pauseSpec() Spec {
	return Spec{
		Name:    "pause",
		Summary: "Wait on the controller, for a time or for a person",
		Place:   OnController,
		New:     func() Module { return &PauseArgs{} },
		Notes: []string{
			"Hosts wait at the same time. A person is asked once for each host; run_once: yes asks for all. Without seconds and minutes somebody must be there to answer: in a run without a terminal the task fails.",
			"In check mode nothing is waited for; the answer of a person is unknown there.",
		},
		Returns: []Return{
			{Name: "user_input", Type: "string", Doc: "What the person answered; empty for a time.", Run: true},
			{Name: "stdout", Type: "string", Doc: "How long it was."},
			{Name: "delta", Type: "int", Doc: "How many seconds it was, on the controller's clock.", Run: true},
			{Name: "start", Type: "string", Doc: "When it began.", Run: true},
			{Name: "stop", Type: "string", Doc: "When it ended.", Run: true},
			{Name: "echo", Type: "bool", Doc: "The echo argument."},
		},
		Examples: []Example{
			{"Let the volumes heal", `
pause:
  seconds: 30`},
			{"Ask", `
pause:
  prompt: "Type yes to stop the old server"
register: answer
run_once: yes`},
		},
	}
}

// Validate wants at most one time.
func (a *PauseArgs) Validate() error {
	switch {
	case a.Seconds != nil && a.Minutes != nil:
		return errors.New("seconds and minutes exclude each other")
	case a.Seconds != nil && *a.Seconds < 0 || a.Minutes != nil && *a.Minutes < 0:
		return errors.New("a time cannot be negative")
	case a.Prompt != "" && !a.Echo && (a.Seconds != nil || a.Minutes != nil):
		return errors.New("echo: no goes with a prompt that is asked, which has no time")
	}
	return nil
}
