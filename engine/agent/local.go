package agent

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// NewLocal runs tasks in this process, for connection: local. It is a Client and
// a server with pipes between them, so that results, cancelling and content are
// exactly as with a host behind SSH. The Environment of a task and its output
// are its own; nothing of the process is changed.
// Tasks with async fail; see NewLocalWith.
func NewLocal(registry *modules.Registry, host sys.Host, shadow func(sys.Host) sys.Host, contents Source) (*Client, error) {
	return NewLocalWith(ServeOptions{Registry: registry, Host: host, Shadow: shadow}, contents)
}

// NewLocalWith is NewLocal with all that a server may have.
func NewLocalWith(o ServeOptions, contents Source) (*Client, error) {
	o.Build = "local"
	requests, controller := io.Pipe()
	replies, agent := io.Pipe()
	served := make(chan error, 1)
	go func() {
		err := Serve(context.Background(), requests, agent, o)
		_ = requests.CloseWithError(errors.Join(errClosedClient, err))
		_ = agent.CloseWithError(errors.Join(io.EOF, err))
		served <- err
	}()
	in := bufio.NewReader(replies)
	if _, err := readGreeting(in); err != nil {
		return nil, errors.Join(err, controller.Close(), <-served)
	}
	hangUp := func() error {
		err := controller.Close()
		// What the server still says has no reader any more.
		_ = replies.CloseWithError(errClosedClient)
		return errors.Join(err, <-served)
	}
	return newClient(in, controller, contents, hangUp, func(err error) error { return err }), nil
}
