package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rbdplay/rbdplay/engine"
)

// stepper asks before each task. There has to be a terminal to ask on.
func stepper(s *streams) (func(ctx context.Context, task string) (engine.StepAnswer, error), error) {
	if _, ok := s.terminal(); !ok {
		return nil, errors.New("--step asks before each task, but standard input is no terminal")
	}
	return askStep(s.in, s.err), nil
}

// askStep puts the question until it has an answer that it understands; an empty
// one is no.
func askStep(in io.Reader, out io.Writer) func(ctx context.Context, task string) (engine.StepAnswer, error) {
	lines := bufio.NewReader(in)
	return func(ctx context.Context, task string) (engine.StepAnswer, error) {
		for {
			if err := ctx.Err(); err != nil {
				return engine.StepSkip, err
			}
			fmt.Fprintf(out, "Perform task: %s (N)o/(y)es/(c)ontinue: ", task)
			line, err := lines.ReadString('\n')
			if err != nil {
				return engine.StepSkip, fmt.Errorf("reading the answer: %w", err)
			}
			switch strings.ToLower(strings.TrimSpace(line)) {
			case "", "n", "no":
				return engine.StepSkip, nil
			case "y", "yes":
				return engine.StepRun, nil
			case "c", "continue":
				return engine.StepContinue, nil
			}
		}
	}
}
