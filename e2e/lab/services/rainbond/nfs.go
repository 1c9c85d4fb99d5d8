package main

import (
	"bufio"
	"context"
	"errors"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
)

// runNFSServer stands in for nfs-kernel-server, which needs a kernel that has
// it: on the port of NFS it gives each client an sftp-server, as long as the
// exports file has a folder to give. SIGHUP (exportfs -ra) reads it again and
// cuts all clients when nothing is exported any more.
// Options: --exports=FILE, --listen=ADDRESS.
func runNFSServer(ctx context.Context, args []string) error {
	set := options(args)
	server := &nfsServer{exports: set["exports"], clients: make(map[*net.TCPConn]struct{})}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp4", set["listen"])
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go server.reread(ctx, hangup)
	defer context.AfterFunc(ctx, func() { _ = listener.Close(); server.dropAll() })()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go server.serve(ctx, conn.(*net.TCPConn)) //nolint:forcetypeassert // it listens on TCP
	}
}

type nfsServer struct {
	exports string

	mu      sync.Mutex
	clients map[*net.TCPConn]struct{}
}

// exporting tells whether the exports file names any folder.
func (s *nfsServer) exporting() bool {
	file, err := os.Open(s.exports)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(strings.TrimSpace(lines.Text()), "/") {
			return true
		}
	}
	return false
}

func (s *nfsServer) reread(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if !s.exporting() {
				s.dropAll()
			}
		}
	}
}

func (s *nfsServer) dropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.clients {
		// The child holds the socket too, so closing it here is not enough.
		if err := errors.Join(conn.CloseRead(), conn.CloseWrite()); err != nil {
			log.Printf("client %s: %v", conn.RemoteAddr(), err)
		}
	}
}

// serve copies between the client and an sftp-server until either ends.
func (s *nfsServer) serve(ctx context.Context, conn *net.TCPConn) {
	defer func() { _ = conn.Close() }()
	if !s.exporting() {
		return
	}
	s.mu.Lock()
	s.clients[conn] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.clients, conn)
		s.mu.Unlock()
	}()
	file, err := conn.File()
	if err != nil {
		log.Print(err)
		return
	}
	defer func() { _ = file.Close() }()
	// Given the socket itself, sftp-server needs no copying through here.
	command := exec.CommandContext(ctx, "/usr/lib/openssh/sftp-server")
	command.Stdin, command.Stdout, command.Stderr = file, file, os.Stderr
	if err := command.Run(); err != nil && ctx.Err() == nil {
		log.Printf("client %s: %v", conn.RemoteAddr(), err)
	}
}
