package modules

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"unicode/utf8"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// writeFile is the step that puts a regular file in place whole: the old one or
// the new one is there at any moment, never half of either.
type writeFile struct {
	file       found // as planned; it must still be so
	content    sys.Content
	attributes sys.Attributes
	validate   string // a command with %s for the new content, or ""
	verdict    bool   // what validate said when it refused goes into the result
	changes    []change.Change
}

func (s *writeFile) Changes() []change.Change { return s.changes }

func (s *writeFile) Do(ctx context.Context, host sys.Host, result Result) error {
	if err := validateContent(ctx, host, s.validate, s.content); err != nil {
		if s.verdict {
			err = s.tell(ctx, err, result)
		}
		return fmt.Errorf("%s stays as it is: %w", s.file.path, err)
	}
	if err := s.file.unchanged(ctx, host); err != nil {
		return err
	}
	if err := host.Change().Files().Write(ctx, s.file.path, s.content, s.attributes); err != nil {
		return fmt.Errorf("writing %s: %w", s.file.path, err)
	}
	return nil
}

// tell puts into the result what Ansible's copy tells of a content that validate
// refused.
func (s *writeFile) tell(ctx context.Context, err error, result Result) error {
	refusal, ok := errors.AsType[*refusalError](err)
	if !ok {
		return err
	}
	sums, fault := digestContent(ctx, s.content)
	if fault != nil {
		return errors.Join(err, fault)
	}
	result["checksum"], result["exit_status"] = sums.sha1, refusal.said.Code
	result["stdout"], result["stderr"] = string(refusal.said.Stdout), string(refusal.said.Stderr)
	result["stdout_lines"], result["stderr_lines"] = lines(string(refusal.said.Stdout)), lines(string(refusal.said.Stderr))
	return err
}

// refusalError is the failure of a content that validate did not accept.
type refusalError struct {
	error
	said sys.Result
}

// WriteOptions are the options of modules that write a whole regular file.
type WriteOptions struct {
	Backup       bool   `arg:"backup" default:"no" doc:"Keep the old file beside the new one, as PATH.DIGEST~; the same content is kept once."`
	ValidateWith string `arg:"validate" doc:"A command that judges the new content before it goes in place; %s stands for a file with it. A non-zero exit fails the task and leaves the old file."`
	FileAttributes
}

// put is the wish that a regular file has a content and attributes.
type put struct {
	file          found
	content       sys.Content // nil leaves the content that is there
	before, after change.Value
	options       WriteOptions
	fresh         uint32 // bits that a mode is applied to when the file is new
	replaces      bool   // what is there is a link, which gives way to a new file
	verdict       bool   // see writeFile
}

// steps says what is to be done for the wish, and the backup that is made of it.
func (p put) steps(ctx context.Context, host sys.Reader) (steps []Step, backup string, err error) {
	if err := checkValidate(p.options.ValidateWith); err != nil {
		return nil, "", err
	}
	of := p.file
	if p.replaces {
		of = found{path: p.file.path}
	}
	attributes, changes, err := p.options.difference(ctx, host, of, p.fresh, false)
	if err != nil {
		return nil, "", err
	}
	if p.content == nil {
		if len(changes) > 0 {
			steps = append(steps, &setAttributes{path: p.file.path, attributes: attributes, changes: changes})
		}
		return steps, "", nil
	}
	action := change.Update
	if !p.file.exists {
		action = change.Create
	}
	if p.options.Backup && p.file.is(sys.Regular) {
		step, path, err := backupOf(ctx, host, p.file)
		if err != nil {
			return nil, "", err
		}
		backup = path
		if step != nil {
			steps = append(steps, step)
		}
	}
	content := change.Change{Target: p.file.path, Action: action, Field: "content", Before: p.before, After: p.after}
	return append(steps, &writeFile{
		file: p.file, content: p.content, attributes: attributes,
		validate: p.options.ValidateWith, verdict: p.verdict, changes: append([]change.Change{content}, changes...),
	}), backup, nil
}

// backupOf plans a copy of f with its mode, owner and time. Its name holds the
// digest, so that check mode knows it and the same content is kept only once;
// step is nil when it is there already.
func backupOf(ctx context.Context, host sys.Reader, f found) (step Step, path string, err error) {
	digest, err := digestOf(ctx, host, f.path)
	if err != nil {
		return nil, "", err
	}
	backup, err := look(ctx, host, f.path+"."+digest[:8]+"~")
	if err != nil || backup.exists {
		return nil, backup.path, err
	}
	content, err := host.Files().Content(ctx, f.path)
	if err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", f.path, err)
	}
	return &writeFile{
		file: backup, content: content,
		attributes: sys.Attributes{Mode: &f.info.Mode, UID: &f.info.UID, GID: &f.info.GID, ModTime: &f.info.ModTime},
		changes: []change.Change{{
			Target: backup.path, Action: change.Create, Field: "content",
			After: change.Summary(fmt.Sprintf("copy of %s, %d bytes, sha256 %s", f.path, f.info.Size, digest)),
		}},
	}, backup.path, nil
}

// checkValidate finds the faults of a validate command before anything is done.
func checkValidate(command string) error {
	if command == "" {
		return nil
	}
	if !strings.Contains(command, "%s") {
		return fmt.Errorf("validate: %q has no %%s, which stands for the file to judge", command)
	}
	words, err := SplitWords(command)
	if err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	if words[0] == "%s" {
		return fmt.Errorf("validate: %q does not begin with a program", command)
	}
	return nil
}

// validateContent lets a command judge content that is not in place yet. The
// content reaches it through an open file, so it never lies on the disk. In check
// mode a program that an earlier task would bring cannot judge; the write is
// foretold all the same.
func validateContent(ctx context.Context, host sys.Reader, command string, content sys.Content) error {
	if command == "" {
		return nil
	}
	args, err := SplitWords(command)
	if err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "%s", "/proc/self/fd/3")
	}
	result, err := host.Probe(ctx, sys.Command{Args: args, Files: []sys.Content{content}})
	if _, unknown := sys.Unknown(err); unknown {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("validate: the host has no program %s", args[0])
	}
	if err != nil {
		return fmt.Errorf("validate: running %s: %w", args[0], err)
	}
	if result.Code != 0 {
		said := strings.TrimSpace(string(result.Stderr) + string(result.Stdout))
		return &refusalError{fmt.Errorf("validate: %s refused the new content with exit code %d: %s", args[0], result.Code, said), result}
	}
	return nil
}

// shownWhole is the most bytes of text that a change shows whole.
const shownWhole = 64 << 10

// textValue shows a content: whole when it is text of a size to be read, else by
// size and digest.
func textValue(text string) change.Value {
	switch {
	case strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text):
		return contentSummary("binary", int64(len(text)), digestText(text))
	case len(text) > shownWhole:
		return contentSummary("text", int64(len(text)), digestText(text))
	}
	return change.Text(text)
}

func contentSummary(kind string, size int64, digest string) change.Value {
	return change.Summary(fmt.Sprintf("%s, %d bytes, sha256 %s", kind, size, digest))
}

// textContent is content that is held in memory.
type textContent string

func (t textContent) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(t))), nil
}
func (t textContent) Size() int64    { return int64(len(t)) }
func (t textContent) SHA256() string { return digestText(string(t)) }

func digestText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// digestOf reads the regular file at path and gives its SHA-256 in hex.
func digestOf(ctx context.Context, host sys.Reader, path string) (string, error) {
	r, err := host.Files().Open(ctx, path)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	defer r.Close() //nolint:errcheck // only read from
	return digestStream(ctx, r, path)
}

func digestStream(ctx context.Context, r io.Reader, path string) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, &untilCancelled{ctx, r}); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// untilCancelled ends a long read when ctx ends.
type untilCancelled struct {
	ctx context.Context //nolint:containedctx // it lives for one read
	r   io.Reader
}

func (u *untilCancelled) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
