package sys

import (
	"context"
	"fmt"
	"sync"
)

// mostRemembered bounds a Memory, which forgets everything when it is full.
const mostRemembered = 32

// Memory keeps what was worked out at some cost from things that its key names, all
// of them: found again, they give the same result. It is no cache of what a host is
// like. One serves any number of goroutines.
type Memory struct {
	// Folder is where RecallKept keeps what outlives the agent; "" keeps nothing.
	Folder string

	mu     sync.Mutex
	values map[string]any
}

type memoryKey struct{}

// WithMemory returns a context in which Recall remembers. The agent has one memory
// for as long as it runs.
func WithMemory(ctx context.Context, m *Memory) context.Context {
	return context.WithValue(ctx, memoryKey{}, m)
}

// Remembers reports whether ctx has a memory, so that it pays to find out the key.
func Remembers(ctx context.Context) bool {
	_, ok := ctx.Value(memoryKey{}).(*Memory)
	return ok
}

// Recall gives what work gave for the same key before, or calls it; an error is not
// remembered. The value must not be changed afterwards.
func Recall[T any](ctx context.Context, key string, work func() (T, error)) (T, error) {
	m, ok := ctx.Value(memoryKey{}).(*Memory)
	if !ok {
		return work()
	}
	m.mu.Lock()
	known, found := m.values[key]
	m.mu.Unlock()
	if value, ok := known.(T); ok {
		return value, nil
	} else if found {
		return value, fmt.Errorf("what is remembered is a %T where a %T was expected", known, value)
	}
	value, err := work()
	if err != nil {
		return value, err
	}
	m.keep(key, value)
	return value, nil
}

func (m *Memory) keep(key string, value any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil || len(m.values) >= mostRemembered {
		m.values = map[string]any{}
	}
	m.values[key] = value
}
