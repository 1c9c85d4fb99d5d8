package engine

import (
	"context"
	"crypto/sha1" //nolint:gosec // the checksum that Ansible reports
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/modules"
)

// fetch copies a file of the host to the controller.
func (x *execution) fetch(ctx context.Context, h *host, it *item, args map[string]any) (modules.Outcome, error) {
	a, err := decode[*modules.FetchArgs](x, args)
	if err != nil {
		return modules.Outcome{}, err
	}
	dest, err := x.fetchDest(ctx, h, it, a)
	if err != nil {
		return modules.Outcome{}, err
	}
	runner, err := x.connect(it.life, x.doer(h, it), it.scope)
	if err != nil {
		return modules.Outcome{}, err
	}
	seen, err := x.onHost(ctx, runner, it, "stat", map[string]any{"path": a.Src, "follow": true})
	if err != nil || seen.Status != modules.OK {
		return seen, nil //nolint:nilerr // the outcome says that the host was lost
	}
	stat, _ := seen.Result["stat"].(map[string]any)
	sum, isFile := stat["checksum"].(string)
	switch {
	case stat["exists"] == false && a.FailOnMissing:
		return failedWith(modules.Result{"file": a.Src}, "the remote file does not exist: %s", a.Src), nil
	case stat["exists"] == false:
		return modules.Outcome{Status: modules.OK, Result: modules.Result{"file": a.Src, "msg": "the remote file does not exist, not transferring, ignored"}}, nil
	case !isFile:
		return failedWith(modules.Result{"file": a.Src}, "%s is no regular file; fetch copies nothing else", a.Src), nil
	}
	return x.fetchInto(ctx, h, it, runner, fetching{src: a.Src, dest: dest, sum: sum, size: expression.Text(stat["size"])})
}

// fetchDest is the absolute path of the file on the controller.
func (x *execution) fetchDest(ctx context.Context, h *host, it *item, a *modules.FetchArgs) (string, error) {
	dest := filepath.FromSlash(a.Dest)
	if !filepath.IsAbs(dest) {
		value, _, err := it.scope.Lookup(ctx, "playbook_dir")
		if err != nil {
			return "", err
		}
		folder, _ := value.(string)
		if !filepath.IsAbs(folder) {
			return "", diag.New(x.task.Args.Where("dest"), "dest must be absolute, since the playbook lies in no folder of the controller")
		}
		dest = filepath.Join(folder, dest) + map[bool]string{true: "/"}[strings.HasSuffix(a.Dest, "/")]
	}
	src := path.Clean("/" + a.Src)
	switch {
	case !a.Flat:
		return filepath.Join(dest, x.doer(h, it), src), nil
	case strings.HasSuffix(dest, "/"):
		return filepath.Join(dest, path.Base(src)), nil
	}
	return filepath.Clean(dest), nil
}

// fetching is one file on its way.
type fetching struct{ src, dest, sum, size string }

func (f fetching) summary(sum string) change.Value {
	return change.Summary("sha1 " + sum)
}

// fetchInto writes the file when it differs, or in check mode says so.
func (x *execution) fetchInto(ctx context.Context, h *host, it *item, runner agent.Runner, f fetching) (modules.Outcome, error) {
	old, err := localSum(ctx, f.dest)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return modules.Outcome{}, fmt.Errorf("dest on the controller: %w", err)
	}
	result := modules.Result{"dest": f.dest, "file": f.src, "checksum": f.sum, "remote_checksum": f.sum}
	if old == f.sum && !missing {
		return modules.Outcome{Status: modules.OK, Result: result}, nil
	}
	c := change.Change{Target: f.dest, Action: change.Create, Field: "content on the controller", After: change.Summary(f.size + " bytes, sha1 " + f.sum)}
	if !missing {
		c.Action, c.Before = change.Update, f.summary(old)
	}
	x.announce(h, it, c)
	if it.check {
		return modules.Outcome{Status: modules.Changed, Changes: it.begun, Result: result}, nil
	}
	from, err := runner.Open(ctx, f.src, false)
	if err != nil {
		return modules.Outcome{}, fmt.Errorf("reading %s: %w", f.src, err)
	}
	defer from.Close() //nolint:errcheck // only read from
	if err := placeLocal(ctx, from, f.dest, f.sum); err != nil {
		return modules.Outcome{}, fmt.Errorf("fetching %s: %w", f.src, err)
	}
	return x.announced(h, it, result), nil
}

// localSum is the SHA-1 of a file of the controller, which must be one.
func localSum(ctx context.Context, name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()   //nolint:errcheck // only read from
	sum := sha1.New() //nolint:gosec // as above
	_, err = io.Copy(sum, untilEnded{ctx, f})
	return hex.EncodeToString(sum.Sum(nil)), err
}

// placeLocal writes a file of the controller whole or not at all. One that is new
// can be read by its owner only: who knows what the host keeps in it.
func placeLocal(ctx context.Context, from io.Reader, dest, want string) (err error) {
	folder := filepath.Dir(dest)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".rbdplay-fetch-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()           // it may be closed already
			_ = os.Remove(f.Name()) // what failed before says more
		}
	}()
	sum := sha1.New() //nolint:gosec // as above
	if _, err := io.Copy(io.MultiWriter(f, sum), untilEnded{ctx, from}); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("it changed while it was read: its SHA-1 was %s and is %s", want, got)
	}
	if old, err := os.Stat(dest); err == nil {
		if err := f.Chmod(old.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), dest); err != nil {
		return err
	}
	return syncFolder(folder)
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// untilEnded ends a long read when ctx ends.
type untilEnded struct {
	ctx context.Context //nolint:containedctx // it lives for one read
	r   io.Reader
}

func (u untilEnded) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
