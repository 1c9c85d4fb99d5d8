package modules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// TextOptions are the options of modules that edit a text file.
type TextOptions struct{ WriteOptions }

// editLimit is the most that an editing module reads into memory.
const editLimit = 64 << 20

// textFile is a file that a module edits, with the text it has now.
type textFile struct {
	found
	text string
}

// openText reads the file that p leads to. A file that does not exist is empty
// text; its folder must exist.
func openText(ctx context.Context, host sys.Reader, p string) (textFile, error) {
	at, err := lookThrough(ctx, host, p)
	if err != nil || !at.exists {
		return textFile{found: at}, err
	}
	if at.info.Type != sys.Regular {
		return textFile{}, fmt.Errorf("%s is %s, not a text file", p, at.typeOf())
	}
	text, err := readText(ctx, host, at)
	return textFile{found: at, text: text}, err
}

func readText(ctx context.Context, host sys.Reader, at found) (string, error) {
	if at.info.Size > editLimit {
		return "", fmt.Errorf("%s has %d bytes; files of more than %d are not edited", at.path, at.info.Size, editLimit)
	}
	r, err := host.Files().Open(ctx, at.path)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", at.path, err)
	}
	text := bytes.NewBuffer(make([]byte, 0, at.info.Size+bytes.MinRead)) // with room to see the end
	_, err = text.ReadFrom(io.LimitReader(&untilCancelled{ctx, r}, editLimit+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return "", fmt.Errorf("reading %s: %w", at.path, err)
	}
	return text.String(), nil
}

// absent is the plan for a file that is not there and need not be.
func (f textFile) absent() Plan {
	return Plan{Result: Result{"path": f.path, "state": "absent"}, Once: Result{"msg": "file not present"}}
}

// become plans that the file has the text, and the attributes of o.
func (f textFile) become(ctx context.Context, host sys.Reader, text string, o TextOptions) (Plan, error) {
	if err := o.noPreserve(); err != nil {
		return Plan{}, err
	}
	wish := put{file: f.found, options: o.WriteOptions, fresh: newFileMode}
	if !f.exists || text != f.text {
		wish.content, wish.after = textContent(text), textValue(text)
		if f.exists {
			wish.before = textValue(f.text)
		}
	}
	steps, backup, err := wish.steps(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	result, err := f.result(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	once := Result{}
	if backup != "" {
		once["backup_file"] = backup
	}
	return Plan{Steps: steps, Result: result, Once: once}, nil
}

// textReturns are the keys that every editing module reports.
var textReturns = slices.Concat(attributeReturns, []Return{
	{Name: "backup_file", Type: "string", Doc: "Where the old file was kept, with backup."},
})
