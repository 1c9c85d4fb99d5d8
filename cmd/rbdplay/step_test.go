package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine"
)

func TestAskStep(t *testing.T) {
	var out bytes.Buffer
	ask := askStep(strings.NewReader("\nwhat\nYES\nc\n"), &out)
	for _, want := range []engine.StepAnswer{engine.StepSkip, engine.StepRun, engine.StepContinue} {
		if got, err := ask(t.Context(), "T"); got != want || err != nil {
			t.Errorf("got %v %v, want %v", got, err, want)
		}
	}
	if _, err := ask(t.Context(), "T"); err == nil {
		t.Error("the end of the input is an answer")
	}
	if n := strings.Count(out.String(), "Perform task: T (N)o/(y)es/(c)ontinue: "); n != 5 {
		t.Errorf("asked %d times", n)
	}
	if code := run([]string{"run", "ha-minimal", "-i", "a,", "--step"}, strings.NewReader(""), &out, &out); code == exitFine {
		t.Error("--step runs without a terminal")
	}
}
