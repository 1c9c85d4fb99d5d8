package sys

import (
	"context"
	"maps"
	"os"
	"slices"
)

type environmentKey struct{}

// WithEnvironment returns a context in which every program that Real starts, the
// package manager's included, has these variables besides its own. The agent
// sets it for each task; a task's own wins over an outer one.
func WithEnvironment(ctx context.Context, variables map[string]string) context.Context {
	all := map[string]string{}
	if outer, ok := ctx.Value(environmentKey{}).(map[string]string); ok {
		maps.Copy(all, outer)
	}
	maps.Copy(all, variables)
	return context.WithValue(ctx, environmentKey{}, all)
}

// Environment lists the variables of ctx as KEY=value, sorted: what goes into a
// program's environment after the agent's own and before Command.Env.
func Environment(ctx context.Context) []string {
	variables, _ := ctx.Value(environmentKey{}).(map[string]string)
	list := make([]string, 0, len(variables))
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		list = append(list, name+"="+variables[name])
	}
	return list
}

// ProgramEnvironment lists as KEY=value what a program that Real starts for ctx
// finds, apart from Command.Env. The last of two with the same name counts.
func ProgramEnvironment(ctx context.Context) []string {
	return slices.Concat(os.Environ(), Environment(ctx))
}
