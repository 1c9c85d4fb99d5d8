package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// recoder is one NAME=ADDRESS of --recoders; a name *.x stands for every name
// below x that has no recoder of its own.
type recoder struct {
	name    string
	address netip.Addr
}

// parseRecoders reads the comma list of --recoders.
func parseRecoders(list string) ([]recoder, error) {
	var recoders []recoder
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		name, text, ok := strings.Cut(item, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--recoders: %q is not NAME=ADDRESS", item)
		}
		address, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil || !address.Is4() {
			return nil, fmt.Errorf("--recoders: %q: not an IPv4 address", item)
		}
		recoders = append(recoders, recoder{strings.ToLower(strings.TrimSpace(name)), address})
	}
	return recoders, nil
}

// lookup returns the addresses of name: an exact recoder wins over a wildcard,
// the longest wildcard over a shorter one.
func lookup(recoders []recoder, name string) []netip.Addr {
	var found []netip.Addr
	for pattern := name; pattern != ""; {
		for _, r := range recoders {
			if r.name == pattern {
				found = append(found, r.address)
			}
		}
		if found != nil {
			return found
		}
		_, parent, ok := strings.Cut(strings.TrimPrefix(pattern, "*."), ".")
		if !ok {
			return nil
		}
		pattern = "*." + parent
	}
	return nil
}

// resolver answers recoders, and the public record that grctl changes.
type resolver struct {
	recoders []recoder
	public   string // file standing in for public DNS; may be absent
	ready    atomic.Bool
}

// answer returns the reply to one message, or nil for one not worth a reply.
func (r *resolver) answer(message []byte) []byte {
	q, err := parseQuestion(message)
	if err != nil {
		return nil
	}
	switch {
	case q.opcode != 0:
		return appendAnswer(q, rcodeNotImpl, nil)
	case !r.ready.Load():
		return appendAnswer(q, rcodeServFail, nil)
	}
	if found := lookup(r.recoders, q.name); found != nil {
		return appendAnswer(q, rcodeOK, found)
	}
	if found := lookup(readPublic(r.public), q.name); found != nil {
		return appendAnswer(q, rcodeOK, found)
	}
	// The real one asks --nameservers here; a lab must never do that.
	return appendAnswer(q, rcodeServFail, nil)
}

// readPublic reads the stand-in for public DNS anew for each question, since
// grctl domain changes it; a missing or broken file answers nothing.
func readPublic(path string) []recoder {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	recoders, err := parseRecoders(strings.ReplaceAll(string(raw), "\n", ","))
	if err != nil {
		log.Printf("%s: %v", path, err)
		return nil
	}
	return recoders
}

// runDNS is rbd-dns. Like the real one it refuses queries until it has
// reached the API server, and gives up after a minute without it.
func runDNS(ctx context.Context, args []string) error {
	set := options(args)
	recoders, err := parseRecoders(set["recoders"])
	if err != nil {
		return err
	}
	r := &resolver{recoders: recoders, public: filepath.Join(filepath.Dir(set["kubecfg-file"]), "public-dns")}
	server, err := apiServer(set["kubecfg-file"])
	if err != nil {
		return err
	}
	port := set["healthz-port"]
	if port == "" {
		port = "8089"
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveUDP(ctx, r) })
	group.Go(func() error { return serveTCP(ctx, r) })
	group.Go(func() error { return serve(ctx, r.readiness(), ":"+port) })
	group.Go(func() error { return r.waitForAPIServer(ctx, server, time.Minute) })
	return group.Wait()
}

func (r *resolver) readiness() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readiness", func(w http.ResponseWriter, _ *http.Request) {
		if !r.ready.Load() {
			http.Error(w, "waiting for the apiserver", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

func (r *resolver) waitForAPIServer(ctx context.Context, server string, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		err := call(ctx, http.MethodGet, server+"/healthz", nil, nil)
		if err == nil {
			r.ready.Store(true)
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("apiserver not reached within %s: %w", limit, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// serveUDP answers from the address that was asked: the kernel would otherwise
// choose another for a container of this node, which then drops the answer.
func serveUDP(ctx context.Context, r *resolver) error {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1) })
		return errors.Join(err, failed)
	}}
	listening, err := config.ListenPacket(ctx, "udp4", ":53")
	if err != nil {
		return err
	}
	conn, ok := listening.(*net.UDPConn)
	if !ok {
		return fmt.Errorf("listening on udp4 gave a %T", listening)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	buffer, control := make([]byte, 4096), make([]byte, 128)
	for {
		n, controlled, _, peer, err := conn.ReadMsgUDP(buffer, control)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if reply := r.answer(buffer[:n]); reply != nil {
			if _, _, err := conn.WriteMsgUDP(reply, fromAsked(control[:controlled]), peer); err != nil {
				log.Printf("answering %s: %v", peer, err)
			}
		}
	}
}

// fromAsked turns the control message of a question into that of its answer:
// sent from the address that was asked, by whatever way leads back (ip(7)).
func fromAsked(control []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo {
			asked := (*unix.Inet4Pktinfo)(unsafe.Pointer(&m.Data[0]))
			return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: asked.Addr})
		}
	}
	return nil
}

func serveTCP(ctx context.Context, r *resolver) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp4", ":53")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go answerTCP(conn, r)
	}
}

// answerTCP serves one connection; it ends with the peer or after 10 seconds.
func answerTCP(conn net.Conn, r *resolver) {
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return
	}
	in := bufio.NewReader(conn)
	for {
		var length [2]byte
		if _, err := io.ReadFull(in, length[:]); err != nil {
			return
		}
		message := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		reply := r.answer(message)
		if reply == nil {
			return
		}
		out := binary.BigEndian.AppendUint16(nil, uint16(len(reply)))
		if _, err := conn.Write(append(out, reply...)); err != nil && !errors.Is(err, net.ErrClosed) {
			return
		}
	}
}
