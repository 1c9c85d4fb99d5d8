package modules

import (
	"context"
	"crypto/sha1" //nolint:gosec // the checksum that Ansible reports
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// CopyArgs are the arguments of copy.
type CopyArgs struct {
	Src           *Source `arg:"src" doc:"A file or directory of the controller, or with remote_src of the host. A directory is copied with all that is in it, to dest/NAME, or to dest itself when src ends in a slash."`
	Content       *string `arg:"content" type:"text" doc:"The text of the file, instead of src. A mapping or a list is written as JSON."`
	Dest          string  `arg:"dest,required" type:"path" doc:"Where to. A directory that exists, or a path that ends in a slash, takes the file under its own name."`
	RemoteSrc     bool    `arg:"remote_src" default:"no" doc:"src is a path on the host."`
	Force         bool    `arg:"force" default:"yes" doc:"Replace a dest of other content. With no, only what is missing is copied."`
	Follow        bool    `arg:"follow" default:"no" doc:"Write through a dest that is a link. Otherwise a file takes the place of the link."`
	Decrypt       bool    `arg:"decrypt" default:"yes" doc:"Decrypt files of the controller that are encrypted with ansible-vault. The controller does it."`
	DirectoryMode *Mode   `arg:"directory_mode" doc:"Permission bits of directories that are made. Those that are there keep theirs."`
	Checksum      string  `arg:"checksum" doc:"The SHA-1 or SHA-256 that the content must have, in hex; if it has not, nothing is written."`
	WriteOptions
}

func copySpec() Spec {
	return Spec{
		Name:    "copy",
		Summary: "Copy a file or a directory to the host, or write a text into a file",
		Place:   OnHost,
		New:     func() Module { return &CopyArgs{} },
		Notes: []string{
			"Links in a directory are copied as links. Owner and mode are taken from the arguments, or mode: preserve; to copy a tree with owners, times and hard links use synchronize.",
		},
		Returns: copyReturns,
		Examples: []Example{
			{"A text", `
copy:
  content: "ENABLED=1\n"
  dest: /etc/default/glusterd
  mode: '0644'`},
			{"A file that is checked before it goes in place", `
copy:
  src: keepalived.conf
  dest: /etc/keepalived/keepalived.conf
  validate: keepalived -t -f %s
  backup: yes`},
			{"A copy on the host itself", `
copy:
  src: /etc/fstab
  dest: /root/fstab.before
  remote_src: yes
  mode: preserve
  force: no`},
		},
	}
}

var copyReturns = slices.Concat(attributeReturns, []Return{
	{Name: "dest", Type: "string", Doc: "The file or directory that was written."},
	{Name: "src", Type: "string", Doc: "The source, as far as the host knows it."},
	{Name: "checksum", Type: "string", Doc: "SHA-1 of the file at dest; when the task failed, of what it was to write."},
	{Name: "expected_checksum", Type: "string", Doc: "The argument checksum, when the content does not have it."},
	{Name: "exit_status", Type: "int", Doc: "The exit code of validate, when it refused the content."},
	{Name: "stdout", Type: "string", Doc: "What validate wrote then."},
	{Name: "stdout_lines", Type: "list", Doc: "The same by lines."},
	{Name: "stderr", Type: "string", Doc: "What it wrote of errors."},
	{Name: "stderr_lines", Type: "list", Doc: "The same by lines."},
	{Name: "backup_file", Type: "string", Doc: "Where the old file was kept, with backup."},
})

// Validate checks what belongs together.
func (a *CopyArgs) Validate() error {
	switch {
	case (a.Src == nil) == (a.Content == nil):
		return errors.New("wants either src or content")
	case a.Content != nil && a.RemoteSrc:
		return errors.New("remote_src needs src")
	case a.Content != nil && strings.HasSuffix(a.Dest, "/"):
		return errors.New("content needs a file as dest, not a directory")
	case a.Content != nil && a.Mode != nil && a.Mode.Preserve:
		return errors.New("mode: preserve needs src")
	case a.RemoteSrc && a.Src.Path != "" && !path.IsAbs(a.Src.Path):
		return fmt.Errorf("src on the host must be an absolute path, not %q", a.Src.Path)
	case a.DirectoryMode != nil && a.DirectoryMode.Preserve:
		return errors.New("directory_mode: preserve is not supported; synchronize keeps the modes of directories")
	case a.Checksum != "" && len(a.Checksum) != 2*sha1.Size && len(a.Checksum) != 2*sha256.Size:
		return errors.New("checksum is no SHA-1 (40 digits) or SHA-256 (64 digits)")
	}
	return checkValidate(a.ValidateWith)
}

// Plan finds what kind of source it is and plans that.
func (a *CopyArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	if err := a.Validate(); err != nil {
		return Plan{}, err
	}
	if a.Content != nil {
		return a.planFile(ctx, host, &Content{Content: textContent(*a.Content)})
	}
	switch {
	case a.Src.Content != nil:
		return a.planFile(ctx, host, a.Src.Content)
	case a.Src.Tree != nil:
		return a.planTree(ctx, host, *a.Src.Tree)
	}
	source, err := lookThrough(ctx, host, a.Src.Path)
	switch {
	case err != nil:
		return Plan{}, fmt.Errorf("src: %w", err)
	case !source.exists:
		return Plan{}, fmt.Errorf("src %s does not exist on the host", a.Src.Path)
	case source.info.Type == sys.Directory:
		return a.planTree(ctx, host, Tree{TreeRef: TreeRef{Path: source.path, Origin: a.Src.Path, Name: nameOf(a.Src.Path)}})
	case source.info.Type != sys.Regular:
		return Plan{}, fmt.Errorf("src %s is %s, which cannot be copied", a.Src.Path, source.typeOf())
	}
	content, err := host.Files().Content(ctx, source.path)
	if err != nil {
		return Plan{}, fmt.Errorf("reading %s: %w", source.path, err)
	}
	return a.planFile(ctx, host, &Content{Content: content, Mode: source.info.Mode, Name: path.Base(a.Src.Path)})
}

func (a *CopyArgs) planFile(ctx context.Context, host sys.Reader, source *Content) (Plan, error) {
	c := fileCopy{
		source: source, dest: a.Dest, follow: a.Follow, force: a.Force,
		directories: FileAttributes{Mode: a.DirectoryMode, Owner: a.Owner, Group: a.Group},
		options:     a.WriteOptions,
	}
	if told, err := a.checkSum(ctx, source); err != nil {
		return Plan{Result: told}, err
	}
	plan, err := c.plan(ctx, host)
	if err != nil {
		return c.failing(ctx, err)
	}
	if a.Src != nil && a.Src.Path != "" {
		plan.Result["src"] = a.Src.Path
	}
	return plan, nil
}

// checkSum holds the content against the checksum argument, and tells both when
// they differ.
func (a *CopyArgs) checkSum(ctx context.Context, source *Content) (Result, error) {
	if a.Checksum == "" {
		return nil, nil
	}
	digests, err := digestContent(ctx, source)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(a.Checksum, digests.sha1) && !strings.EqualFold(a.Checksum, digests.sha256) {
		return Result{"checksum": digests.sha1, "expected_checksum": a.Checksum},
			fmt.Errorf("the content does not have the checksum %s; its SHA-1 is %s, its SHA-256 %s", a.Checksum, digests.sha1, digests.sha256)
	}
	return nil, nil
}

// failing is a plan that failed with err: as with Ansible it tells what was to be
// written by its checksum.
func (c fileCopy) failing(ctx context.Context, err error) (Plan, error) {
	if _, unknown := sys.Unknown(err); unknown {
		return Plan{}, err
	}
	sums, fault := digestContent(ctx, c.source)
	if fault != nil {
		return Plan{}, errors.Join(err, fault)
	}
	return Plan{Result: Result{"checksum": sums.sha1}}, err
}

// fileCopy puts one content at a place; copy and template share it.
type fileCopy struct {
	source        *Content
	dest          string
	follow, force bool
	directories   FileAttributes // of directories that have to be made
	options       WriteOptions
}

// plan works out where the file goes and what differs there.
func (c fileCopy) plan(ctx context.Context, host sys.Reader) (Plan, error) {
	c.options.Mode = c.modeFrom(c.source.Mode)
	at, parents, err := c.place(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	var steps []Step
	for _, parent := range parents {
		step, err := c.directories.makeDirectory(ctx, host, parent)
		if err != nil {
			return Plan{}, err
		}
		steps = append(steps, step)
	}
	result, old, err := c.report(ctx, host, at)
	if err != nil {
		return Plan{}, err
	}
	if at.exists && !c.force {
		return Plan{Steps: steps, Result: result}, nil
	}
	wish, err := c.wish(ctx, host, at, old)
	if err != nil {
		return Plan{}, err
	}
	more, backup, err := wish.steps(ctx, host)
	once := Result{}
	if backup != "" {
		once["backup_file"] = backup
	}
	return Plan{Steps: append(steps, more...), Result: result, Once: once}, err
}

// modeFrom turns mode: preserve into the bits that the source has.
func (c fileCopy) modeFrom(source uint32) *Mode {
	if c.options.Mode == nil || !c.options.Mode.Preserve {
		return c.options.Mode
	}
	return &Mode{bits: source}
}

// place finds the file that is to be written, and the directories that are missing
// above it and that a dest with a slash at its end asks for.
func (c fileCopy) place(ctx context.Context, host sys.Reader) (at found, parents []found, err error) {
	dest := c.dest
	at, err = look(ctx, host, dest)
	if err != nil {
		return at, nil, err
	}
	leads := at
	if at.is(sys.Symlink) {
		if leads, err = lookThrough(ctx, host, dest); err != nil {
			return at, nil, err
		}
	}
	into := leads.is(sys.Directory)
	if strings.HasSuffix(dest, "/") && !into {
		if leads.exists {
			return at, nil, fmt.Errorf("dest %s is %s, not a directory", dest, leads.typeOf())
		}
		if parents, err = missingFrom(ctx, host, leads); err != nil {
			return at, nil, err
		}
		into = true
	}
	if into {
		if c.source.Name == "" {
			return at, nil, fmt.Errorf("dest %s is a directory; a content without a name needs a file as dest", dest)
		}
		dest = path.Join(dest, c.source.Name)
	}
	if len(parents) > 0 {
		return found{path: path.Clean(dest)}, parents, nil
	}
	at, err = c.lookAt(ctx, host, dest)
	if err == nil && at.exists && at.info.Type != sys.Regular && at.info.Type != sys.Symlink {
		err = fmt.Errorf("dest %s is %s; no file is put in its place", dest, at.typeOf())
	}
	return at, nil, err
}

// lookAt sees the file at dest, its folders' links resolved, and its own with follow.
func (c fileCopy) lookAt(ctx context.Context, host sys.Reader, dest string) (found, error) {
	if c.follow {
		return lookThrough(ctx, host, dest)
	}
	folder, err := lookThrough(ctx, host, path.Dir(path.Clean(dest)))
	switch {
	case err != nil:
		return found{}, err
	case !folder.exists:
		return found{}, fmt.Errorf("dest: there is no directory %s", folder.path)
	case folder.info.Type != sys.Directory:
		return found{}, fmt.Errorf("dest: %s is %s, not a directory", folder.path, folder.typeOf())
	}
	return look(ctx, host, path.Join(folder.path, path.Base(path.Clean(dest))))
}

// report gives the result, and the digests of a regular file that is there.
func (c fileCopy) report(ctx context.Context, host sys.Reader, at found) (Result, digests, error) {
	result, err := at.result(ctx, host)
	if err != nil {
		return nil, digests{}, err
	}
	result["dest"] = at.path
	if !at.is(sys.Regular) {
		return result, digests{}, nil
	}
	old, err := digestFile(ctx, host, at)
	if err != nil {
		return nil, digests{}, fmt.Errorf("reading %s: %w", at.path, err)
	}
	result["checksum"] = old.sha1
	return result, old, nil
}

// digestFile reads a regular file, unless it is known what was written there.
func digestFile(ctx context.Context, host sys.Reader, at found) (digests, error) {
	if known, ok := sys.Written(ctx, at.info); ok {
		return digests{known.SHA1, known.SHA256}, nil
	}
	r, err := host.Files().Open(ctx, at.path)
	if err != nil {
		return digests{}, err
	}
	defer r.Close() //nolint:errcheck // only read from
	return digestBoth(ctx, r)
}

// wish compares by digest and says what should be there.
func (c fileCopy) wish(ctx context.Context, host sys.Reader, at found, old digests) (put, error) {
	p := put{file: at, options: c.options, fresh: newFileMode, verdict: true}
	sum := c.source.SHA256()
	if sum == "" && at.is(sys.Regular) && c.source.Size() == at.info.Size {
		read, err := digestContent(ctx, c.source)
		if err != nil {
			return p, err
		}
		sum = read.sha256
	}
	if at.is(sys.Regular) && sum == old.sha256 {
		return p, nil
	}
	p.content = c.source
	var err error
	if p.before, err = shownBefore(ctx, host, at, old.sha256); err != nil {
		return p, err
	}
	p.after, err = shownContent(ctx, c.source)
	if c.source.Secret {
		p.after = change.Hidden()
		if at.exists {
			p.before = change.Hidden()
		}
	}
	if at.is(sys.Symlink) {
		p.replaces = true
	}
	return p, err
}

func shownBefore(ctx context.Context, host sys.Reader, at found, sum string) (change.Value, error) {
	switch {
	case !at.exists:
		return change.Absent(), nil
	case at.info.Type == sys.Symlink:
		target, err := host.Files().Readlink(ctx, at.path)
		if err != nil {
			return change.Value{}, fmt.Errorf("reading the link %s: %w", at.path, err)
		}
		return change.Summary("link to " + target), nil
	case at.info.Size > shownWhole:
		return contentSummary("file", at.info.Size, sum), nil
	}
	text, err := readText(ctx, host, at)
	return textValue(text), err
}

// shownContent shows content that may be large: only small content is read for it.
func shownContent(ctx context.Context, c sys.Content) (change.Value, error) {
	if c.Size() <= shownWhole {
		text, err := readContent(ctx, c, shownWhole)
		return textValue(string(text)), err
	}
	sum := c.SHA256()
	if sum == "" {
		read, err := digestContent(ctx, c)
		if err != nil {
			return change.Value{}, err
		}
		sum = read.sha256
	}
	return contentSummary("file", c.Size(), sum), nil
}

type digests struct{ sha1, sha256 string }

func digestContent(ctx context.Context, c sys.Content) (digests, error) {
	r, err := c.Open(ctx)
	if err != nil {
		return digests{}, err
	}
	defer r.Close() //nolint:errcheck // only read from
	return digestBoth(ctx, r)
}

func digestBoth(ctx context.Context, r io.Reader) (digests, error) {
	one, two := sha1.New(), sha256.New() //nolint:gosec // as above
	if _, err := io.Copy(io.MultiWriter(one, two), &untilCancelled{ctx, r}); err != nil {
		return digests{}, err
	}
	text := func(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
	return digests{text(one), text(two)}, nil
}
