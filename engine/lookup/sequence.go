package lookup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/lazy"
)

// sequenceLookup reads "start=1 end=5 stride=2 format=web%02d" or the same as a
// mapping or as options, or "5", "2-8/2:host%02d".
func sequenceLookup(c *call) ([]any, error) {
	terms := c.terms
	if len(terms) == 0 && len(c.options) > 0 {
		terms = []any{""}
	}
	var all []any
	for _, one := range terms {
		s := sequence{start: 1, stride: 1, format: "%d"}
		for name, value := range c.options {
			if err := s.set(name, expression.Text(value)); err != nil {
				return nil, err
			}
		}
		if err := s.read(c.ctx, one); err != nil {
			return nil, err
		}
		items, err := s.items()
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
	}
	return all, nil
}

// sequence is what a sequence counts.
type sequence struct {
	start, end, stride int
	hasEnd             bool
	count              int
	hasCount           bool
	format             string
}

// shortSequence is the form [start-]end[/stride][:format].
var shortSequence = lazy.Regexp(`^(?:(\w+)-)?(\w+)(?:/(-?\w+))?(?::(.+))?$`)

func (s *sequence) read(ctx context.Context, value any) error {
	switch v := expression.Normalize(value).(type) {
	case int:
		s.end, s.hasEnd = v, true
		return nil
	case string:
		if v == "" { // the options say it all
			return nil
		}
		if strings.Contains(v, "=") {
			return s.pieces(v)
		}
		return s.short(v)
	}
	var failed error
	err := Pairs(ctx, value, func(key string, one any) {
		failed = errors.Join(failed, s.set(key, expression.Text(one)))
	})
	return errors.Join(err, failed)
}

func (s *sequence) pieces(text string) error {
	rest, values, err := words(text)
	if err == nil && rest != "" {
		err = fmt.Errorf("cannot read %q", rest)
	}
	for _, value := range values {
		if err == nil {
			err = s.set(value.name, value.text)
		}
	}
	return err
}

func (s *sequence) short(text string) error {
	m := shortSequence().FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("cannot read %q; write start=1 end=5", text)
	}
	for i, key := range []string{"start", "end", "stride", "format"} {
		if m[i+1] == "" {
			continue
		}
		if err := s.set(key, m[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (s *sequence) set(key, value string) error {
	if key == "format" {
		s.format = value
		return nil
	}
	n, err := strconv.ParseInt(value, 0, 32)
	if err != nil {
		return fmt.Errorf("wants a whole number for %s, not %q", key, value)
	}
	switch key {
	case "start":
		s.start = int(n)
	case "end":
		s.end, s.hasEnd = int(n), true
	case "stride":
		s.stride = int(n)
	case "count":
		s.count, s.hasCount = int(n), true
	default:
		return fmt.Errorf("knows no %s, only start, end, count, stride and format", key)
	}
	return nil
}

// sequenceFormat is the one conversion a format may have.
var sequenceFormat = lazy.Regexp(`^(?:[^%]|%%)*%0?[0-9]*[dxXo](?:[^%]|%%)*$`)

func (s *sequence) items() ([]any, error) {
	switch {
	case s.hasEnd == s.hasCount:
		return nil, errors.New("wants one of end and count")
	case !sequenceFormat().MatchString(s.format):
		return nil, fmt.Errorf("wants one number in its format, such as %%02d, not %q", s.format)
	case s.hasCount && s.count == 0:
		return nil, nil
	case s.hasCount:
		s.end = s.start + (s.count-1)*s.stride
	}
	switch {
	case s.stride == 0:
		return nil, nil
	case s.stride > 0 && s.end < s.start, s.stride < 0 && s.end > s.start:
		return nil, fmt.Errorf("counts from %d to %d in steps of %d and never arrives", s.start, s.end, s.stride)
	case (s.end-s.start)/s.stride >= mostItems:
		return nil, fmt.Errorf("has more than %d items", mostItems)
	}
	var items []any
	for n := s.start; s.stride > 0 && n <= s.end || s.stride < 0 && n >= s.end; n += s.stride {
		items = append(items, fmt.Sprintf(s.format, n))
	}
	return items, nil
}
