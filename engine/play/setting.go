package play

import (
	"context"
	"errors"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/template"
)

// UnknownError says that a value depends on what check mode cannot know. A task
// that meets it is deferred.
type UnknownError struct{ Reason string }

func (e *UnknownError) Error() string { return "not known in check mode: " + e.Reason }

// IsUnknown reports whether err says that check mode cannot know, and why.
func IsUnknown(err error) (reason string, ok bool) {
	if unknown, ok := errors.AsType[*UnknownError](err); ok {
		return unknown.Reason, true
	}
	return "", false
}

// Setting is the value of a keyword that may hold a template. A nil *Setting is
// a keyword that was not given.
type Setting[T any] struct {
	Range diag.Range
	name  string
	value T
	later *template.Value // nil: value is it
	read  func(any) (T, error)
}

// Get gives the value; when it holds a template, rendered with s. A nil Setting
// gives the zero value. The error is a diag.Diagnostic, or an *UnknownError.
func (s *Setting[T]) Get(ctx context.Context, in expression.Scope) (T, error) {
	var none T
	if s == nil {
		return none, nil
	}
	if s.later == nil {
		return s.value, nil
	}
	value, err := s.later.RenderPlain(ctx, in)
	if err != nil {
		return none, err
	}
	if unknown, ok := value.(expression.Unknown); ok {
		return none, &UnknownError{Reason: unknown.Reason}
	}
	read, err := s.read(value)
	if err != nil {
		return none, diag.New(s.Range, "%s: %v", s.name, err)
	}
	return read, nil
}

// Or is Get with another value for a keyword that was not given.
func (s *Setting[T]) Or(ctx context.Context, in expression.Scope, otherwise T) (T, error) {
	if s == nil {
		return otherwise, nil
	}
	return s.Get(ctx, in)
}

// Literal is the value when it holds no template; ok is false when it does, or
// when the keyword was not given.
func (s *Setting[T]) Literal() (value T, ok bool) {
	if s == nil || s.later != nil {
		return value, false
	}
	return s.value, true
}

// String is the value as far as it is known, for messages.
func (s *Setting[T]) String() string {
	if value, ok := s.Literal(); ok {
		return fmt.Sprint(value)
	}
	return ""
}

// Uses lists the variables that the setting's template takes.
func (s *Setting[T]) uses() []string {
	if s == nil || s.later == nil {
		return nil
	}
	return s.later.Variables()
}
