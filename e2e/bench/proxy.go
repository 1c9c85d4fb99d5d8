package main

import (
	"context"
	"net"
	"sync"
	"time"
)

// delay is a TCP proxy that holds every byte back for half of a round trip in each
// direction: a distant host, since this kernel has no netem. It limits no
// throughput.
type delay struct {
	listener net.Listener
	target   string
	oneWay   time.Duration

	ctx  context.Context //nolint:containedctx // ends the connections; its owner is close
	stop context.CancelFunc
	work sync.WaitGroup
}

// newDelay starts a proxy to target on the loopback interface.
func newDelay(target string, roundTrip time.Duration) (*delay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &delay{listener: listener, target: target, oneWay: roundTrip / 2}
	d.ctx, d.stop = context.WithCancel(context.Background())
	d.work.Go(d.accept)
	return d, nil
}

// port is where the proxy listens.
func (d *delay) port() int {
	tcp, _ := d.listener.Addr().(*net.TCPAddr)
	return tcp.Port
}

// close ends the proxy and its connections, and waits for them.
func (d *delay) close() {
	d.stop()
	_ = d.listener.Close()
	d.work.Wait()
}

func (d *delay) accept() {
	for {
		client, err := d.listener.Accept()
		if err != nil {
			return // closed
		}
		d.work.Go(func() { d.serve(client) })
	}
}

// serve carries one connection. Setting it up costs one round trip, as it would
// over the distance; after that each direction is a queue of its own.
func (d *delay) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // what it says no longer counts
	if !d.wait(2 * d.oneWay) {
		return
	}
	server, err := (&net.Dialer{}).DialContext(d.ctx, "tcp", d.target)
	if err != nil {
		return // the client sees its connection closed
	}
	defer server.Close() //nolint:errcheck // same
	end := context.AfterFunc(d.ctx, func() { _ = client.Close(); _ = server.Close() })
	defer end()
	var both sync.WaitGroup
	both.Go(func() { d.carry(server, client) })
	both.Go(func() { d.carry(client, server) })
	both.Wait()
}

func (d *delay) wait(t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.ctx.Done():
		return false
	}
}

// piece is what was read, and when it is due on the other side.
type piece struct {
	data []byte
	due  time.Time
}

// carry copies from one side to the other, each piece late by the delay. At the
// end of input it closes the writing half, so that the other direction may go on.
func (d *delay) carry(to, from net.Conn) {
	queue := make(chan piece, 4096)
	var writer sync.WaitGroup
	writer.Go(func() {
		for p := range queue {
			if d.wait(time.Until(p.due)) {
				if _, err := to.Write(p.data); err != nil {
					_ = from.Close() // ends the reader below
				}
			}
		}
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			queue <- piece{append([]byte(nil), buffer[:n]...), time.Now().Add(d.oneWay)}
		}
		if err != nil {
			break
		}
	}
	close(queue)
	writer.Wait()
}
