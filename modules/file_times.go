package modules

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// FileTimes are the options that set a file's times.
type FileTimes struct {
	ModificationTime       string `arg:"modification_time" doc:"preserve, now, or a time in modification_time_format. Not given it is preserve, with touch now."`
	ModificationTimeFormat string `arg:"modification_time_format" default:"%Y%m%d%H%M.%S" doc:"How modification_time is written, in strftime's letters; the host's time zone counts."`
	AccessTime             string `arg:"access_time" doc:"preserve, now, or a time in access_time_format. Not given it is preserve, with touch now."`
	AccessTimeFormat       string `arg:"access_time_format" default:"%Y%m%d%H%M.%S" doc:"How access_time is written, in strftime's letters; the host's time zone counts."`
}

// timeWish is what one of the times should become: nothing of it set means that
// it is preserved.
type timeWish struct {
	now   bool
	stamp time.Time
}

type timesWish struct{ modified, accessed timeWish }

func (t FileTimes) times(state string) (timesWish, error) {
	modified, err := timeWishOf(t.ModificationTime, t.ModificationTimeFormat, state)
	if err != nil {
		return timesWish{}, fmt.Errorf("modification_time: %w", err)
	}
	accessed, err := timeWishOf(t.AccessTime, t.AccessTimeFormat, state)
	if err != nil {
		return timesWish{}, fmt.Errorf("access_time: %w", err)
	}
	return timesWish{modified, accessed}, nil
}

func timeWishOf(text, format, state string) (timeWish, error) {
	switch {
	case text == "now", text == "" && state == "touch":
		return timeWish{now: true}, nil
	case text == "", text == "preserve":
		return timeWish{}, nil
	}
	layout, err := strftimeLayout(format)
	if err != nil {
		return timeWish{}, err
	}
	stamp, err := time.ParseInLocation(layout, text, time.Local)
	if err != nil {
		return timeWish{}, fmt.Errorf("%q is not preserve, now or a time written as %s", text, format)
	}
	return timeWish{stamp: stamp}, nil
}

var strftimeLetters = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'H': "15", 'I': "03", 'M': "04", 'S': "05",
	'p': "PM", 'j': "002", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'z': "-0700",
	'F': "2006-01-02", 'T': "15:04:05", '%': "%",
}

// strftimeLayout writes a strptime(3) format as Go's layout.
func strftimeLayout(format string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		c := format[i]
		switch {
		case c == '%' && i+1 < len(format) && strftimeLetters[format[i+1]] != "":
			i++
			out.WriteString(strftimeLetters[format[i]])
		case c == '%' || isLetter(c) && c != 'T' && c != 'Z' || c >= '0' && c <= '9':
			return "", fmt.Errorf("the format %q: %q cannot stand at place %d", format, string(c), i+1)
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), nil
}

// timeSteps sets the times: to stamps, which is a state, and to now, which is an
// event, since a second look cannot tell whether it has happened.
func (a *FileArgs) timeSteps(at found) []Step {
	wish, err := a.times(a.State)
	if err != nil || (!wish.modified.now && !wish.accessed.now) {
		return a.stampSteps(at)
	}
	field := "modification time and access time"
	switch {
	case !wish.accessed.now:
		field = "modification time"
	case !wish.modified.now:
		field = "access time"
	}
	touch := act{
		[]change.Change{{Target: at.path, Action: change.Run, Field: field, After: change.Text("now")}},
		func(ctx context.Context, host sys.Host, _ Result) error {
			now := time.Now()
			var set sys.Attributes
			if wish.modified.now {
				set.ModTime = &now
			}
			if wish.accessed.now {
				set.AccessTime = &now
			}
			return (&setAttributes{path: at.path, attributes: set}).Do(ctx, host, nil)
		},
	}
	return append(a.stampSteps(at), touch)
}

// stampSteps sets the times that are given as stamps, where they differ.
func (a *FileArgs) stampSteps(at found) []Step {
	wish, err := a.times(a.State)
	if err != nil {
		return nil // Validate has reported it
	}
	step := &setAttributes{path: at.path}
	differs := func(field string, want timeWish, have time.Time) *time.Time {
		if want.stamp.IsZero() || (at.exists && have.Equal(want.stamp)) {
			return nil
		}
		c := change.Change{Target: at.path, Action: change.Update, Field: field, After: change.Text(want.stamp.Format(time.RFC3339))}
		if at.exists {
			c.Before = change.Text(have.Format(time.RFC3339Nano))
		}
		step.changes = append(step.changes, c)
		return &want.stamp
	}
	step.attributes.ModTime = differs("modification time", wish.modified, at.info.ModTime)
	step.attributes.AccessTime = differs("access time", wish.accessed, at.info.AccessTime)
	if len(step.changes) == 0 {
		return nil
	}
	return []Step{step}
}
