package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// serveHosts is count SSH servers on the loopback interface whose commands really
// run, all as this user with one empty home. It prints its access and serves until
// stdin or ctx ends; then it ends what it runs.
func serveHosts(ctx context.Context, count int, stdin io.Reader, stdout io.Writer) (err error) {
	home, err := os.MkdirTemp("", "rbdplay-bench-home-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends with the process at the latest: nothing follows serveHosts
		_, _ = io.Copy(io.Discard, stdin)
		stop()
	}()
	server, a, err := newSSHServer(home)
	if err != nil {
		return err
	}
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		tcp, _ := listener.Addr().(*net.TCPAddr)
		a.Ports = append(a.Ports, tcp.Port)
		server.work.Go(func() { server.accept(ctx, listener) })
		context.AfterFunc(ctx, func() { _ = listener.Close() })
	}
	if err := json.NewEncoder(stdout).Encode(a); err != nil {
		return err
	}
	<-ctx.Done()
	server.work.Wait()
	return nil
}

type sshServer struct {
	config *ssh.ServerConfig
	home   string
	work   sync.WaitGroup
}

// newSSHServer makes the keys: one for all hosts, one for the one who may log in.
func newSSHServer(home string) (*sshServer, access, error) {
	_, hostKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, access{}, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, access{}, err
	}
	signer, err := ssh.NewSignerFromKey(hostKey)
	if err != nil {
		return nil, access{}, err
	}
	allowed, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, access{}, err
	}
	block, err := ssh.MarshalPrivateKey(private, "rbdplay bench")
	if err != nil {
		return nil, access{}, err
	}
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != string(allowed.Marshal()) {
				return nil, errors.New("unknown key")
			}
			return &ssh.Permissions{}, nil
		},
	}
	config.AddHostKey(signer)
	a := access{HostKey: string(ssh.MarshalAuthorizedKey(signer.PublicKey())), PrivateKey: string(pem.EncodeToMemory(block))}
	return &sshServer{config: config, home: home}, a, nil
}

func (s *sshServer) accept(ctx context.Context, listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed
		}
		s.work.Go(func() { s.connection(ctx, conn) })
	}
}

func (s *sshServer) connection(ctx context.Context, raw net.Conn) {
	defer raw.Close() //nolint:errcheck // what it says no longer counts
	end := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer end()
	conn, channels, requests, err := ssh.NewServerConn(raw, s.config)
	if err != nil {
		return // the client is told
	}
	defer conn.Close() //nolint:errcheck // same
	s.work.Go(func() { ssh.DiscardRequests(requests) })
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		s.work.Go(func() { s.session(ctx, channel, requests) })
	}
}

// session runs one command. The command ends with its channel.
func (s *sshServer) session(ctx context.Context, channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close() //nolint:errcheck // same
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		var payload struct{ Command string }
		if err := ssh.Unmarshal(r.Payload, &payload); err != nil {
			return
		}
		_ = r.Reply(true, nil)
		code := s.run(ctx, channel, payload.Command)
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code}))
		return
	}
}

func (s *sshServer) run(ctx context.Context, channel ssh.Channel, command string) uint32 {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	c.Env = []string{"HOME=" + s.home, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	stdin, err := c.StdinPipe()
	if err != nil {
		return 255
	}
	c.Stdout, c.Stderr = channel, channel.Stderr()
	if err := c.Start(); err != nil {
		fmt.Fprintln(channel.Stderr(), err)
		return 127
	}
	go func() { // ends when the client closes its half, or the channel is closed
		_, _ = io.Copy(stdin, channel)
		_ = stdin.Close()
	}()
	if err := c.Wait(); err != nil {
		return uint32(max(c.ProcessState.ExitCode(), 1))
	}
	return 0
}
