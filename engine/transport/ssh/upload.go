package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	scp "github.com/bramvdbogaerde/go-scp"

	"github.com/rbdplay/rbdplay/engine/transport"
)

// Upload implements transport.Conn: by scp, and by cat on a host where scp does
// not work, which is remembered.
func (c *conn) Upload(ctx context.Context, content io.ReadSeeker, size int64, path string, mode uint32) error {
	if err := transport.CheckPath(path); err != nil {
		return err
	}
	c.mu.Lock()
	noSCP := c.noSCP
	c.mu.Unlock()
	var scpErr error
	if !noSCP {
		if scpErr = c.scp(ctx, content, size, path, mode); scpErr == nil {
			return nil
		}
		if c.Err() != nil || ctx.Err() != nil {
			return c.because(scpErr)
		}
		if _, err := content.Seek(0, io.SeekStart); err != nil {
			return errors.Join(scpErr, err)
		}
	}
	if err := c.cat(ctx, content, size, path, mode); err != nil {
		return c.because(errors.Join(scpErr, err))
	}
	c.mu.Lock()
	c.noSCP = true
	c.mu.Unlock()
	return nil
}

// scp copies with go-scp. That must not see ctx: cancelled, it would close the
// stream under the hands of its own goroutine. The content ends instead, which
// ends the copy.
func (c *conn) scp(ctx context.Context, content io.Reader, size int64, path string, mode uint32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	client := scp.NewConfigurer("", nil).SSHClient(c.client).RemoteBinary("scp").Create()
	source := exactly(ctx, content, size)
	copied := make(chan error, 1)
	go func() { // ends with the copy, or with the connection
		copied <- client.Copy(context.WithoutCancel(ctx), source, path, fmt.Sprintf("%04o", mode), size)
	}()
	select {
	case err := <-copied:
		if err != nil {
			return fmt.Errorf("scp to %s: %w", path, err)
		}
		return nil
	case <-ctx.Done():
		source.giveUp()
		return ctx.Err()
	}
}

func (c *conn) cat(ctx context.Context, content io.Reader, size int64, path string, mode uint32) error {
	s, err := c.Start(ctx, fmt.Sprintf("exec /bin/sh -c 'umask 077; cat >%s && chmod %04o %s'", path, mode, path))
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // its exit status is what counts
	n, err := io.Copy(s.Stdin(), exactly(ctx, content, size))
	if err = errors.Join(err, ignoreEOF(s.Stdin().Close())); err != nil {
		return fmt.Errorf("cat to %s: after %d bytes: %w: %s", path, n, err, s.Stderr())
	}
	code, err := s.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("cat to %s: %w", path, err)
	case code != 0:
		return fmt.Errorf("cat to %s: exit status %d: %s", path, code, s.Stderr())
	}
	return nil
}

// exactly reads size bytes of r, not less, until ctx ends.
func exactly(ctx context.Context, r io.Reader, size int64) *exactReader {
	return &exactReader{ctx: ctx, r: r, left: size}
}

type exactReader struct {
	ctx context.Context

	mu   sync.Mutex // held while r is read
	r    io.Reader  // nil once given up
	left int64
}

// giveUp returns when r is not used any more.
func (e *exactReader) giveUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.r = nil
}

func (e *exactReader) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ctx.Err(); err != nil || e.r == nil {
		return 0, errors.Join(err, io.ErrClosedPipe)
	}
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
