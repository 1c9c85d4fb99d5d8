package play

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/expression"
)

// sequence is what with_sequence counts.
type sequence struct {
	start, end, stride int
	hasEnd             bool
	count              int
	hasCount           bool
	format             string
}

// shortSequence is the form [start-]end[/stride][:format].
var shortSequence = regexp.MustCompile(`^(?:(\w+)-)?(\w+)(?:/(-?\w+))?(?::(.+))?$`)

func (s *sequence) read(ctx context.Context, value any) error {
	switch v := expression.Normalize(value).(type) {
	case int:
		s.end, s.hasEnd = v, true
		return nil
	case string:
		if strings.Contains(v, "=") {
			return s.pieces(v)
		}
		return s.short(v)
	}
	var failed error
	err := pairs(ctx, value, func(key string, one any) {
		failed = errors.Join(failed, s.set(key, expression.Text(one)))
	})
	return errors.Join(err, failed)
}

func (s *sequence) pieces(text string) error {
	pieces, err := splitPieces(text)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		key, value, ok := p.keyValue()
		if !ok {
			return fmt.Errorf("cannot read %q", p.text)
		}
		if err := s.set(key, value.unquote().text); err != nil {
			return err
		}
	}
	return nil
}

func (s *sequence) short(text string) error {
	m := shortSequence.FindStringSubmatch(text)
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
var sequenceFormat = regexp.MustCompile(`^(?:[^%]|%%)*%0?[0-9]*[dxXo](?:[^%]|%%)*$`)

func (s *sequence) items() ([]any, error) {
	switch {
	case s.hasEnd == s.hasCount:
		return nil, errors.New("wants one of end and count")
	case !sequenceFormat.MatchString(s.format):
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
