package agent

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/transport"
)

// Options are how an agent is reached.
type Options struct {
	Programs Programs
	Contents Source        // nil: no content is offered
	Become   *Become       // nil: the agent runs as the user who logged in
	Timeout  time.Duration // for each step of the start: 0 means 60 s
}

// Become asks for an agent with another user's rights.
type Become struct {
	User     string // "" for root
	Method   string // "sudo", or "" for it, or "su"
	Exe      string // the program to call in their place; "" for the method itself
	Flags    string // its flags; "" for the usual ones
	Password transport.Secret
}

// Stats says what the start of an agent took.
type Stats struct {
	Execs         int // commands started on the host
	UploadedBytes int64
	Duration      time.Duration
	Machine       string // "Linux x86_64"; "" when the agent was cached
	Noise         string // what the login shell printed
}

// StartError says why no agent runs on a host that can be reached.
type StartError struct {
	Summary string
	Hint    string // what to do; may be ""
	Output  string // what the host printed: login noise and standard error
	Err     error

	mute bool // the command ended before anything of ours spoke
}

func mute(err error) bool {
	e, ok := errors.AsType[*StartError](err)
	return ok && e.mute
}

func (e *StartError) Error() string {
	text := "cannot start the agent: " + e.Summary
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	if e.Output != "" {
		text += "; the host printed: " + e.Output
	}
	return text
}

func (e *StartError) Unwrap() error { return e.Err }

// Connect starts an agent over conn and says hello. The program is sent when the
// host's cache lacks it: one exec on a host that has it, two and a copy on one
// that does not. The connection stays the caller's; closing the client ends only
// the agent. Cancelling ctx aborts the start. Errors are *StartError,
// *transport.UnreachableError or ctx's.
func Connect(ctx context.Context, conn transport.Conn, o Options) (*Client, Stats, error) {
	b := &bootstrap{conn: conn, Options: o}
	if b.Timeout == 0 {
		b.Timeout = time.Minute
	}
	begin := time.Now()
	client, err := b.connect(ctx)
	b.stats.Duration = time.Since(begin)
	if err != nil {
		if lost := conn.Err(); lost != nil {
			err = lost
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, b.stats, err
	}
	return client, b.stats, nil
}

type bootstrap struct {
	Options
	conn   transport.Conn
	stats  Stats
	become becomePrefix
}

func (b *bootstrap) connect(ctx context.Context) (*Client, error) {
	prefix, err := b.Become.prefix()
	if err != nil {
		return nil, err
	}
	b.become = prefix
	wanted, err := b.wanted()
	if err != nil {
		return nil, err
	}
	started, g, err := b.start(ctx, startScript(wanted, prefix))
	if mute(err) {
		// A cached program that the disk has damaged says nothing either: it is sent anew.
		started, g, err = b.start(ctx, startScript(nil, prefix))
	}
	if err != nil {
		return nil, err
	}
	if g.answer == "" {
		return b.client(started, g, wanted)
	}
	if err := started.Close(); err != nil {
		return nil, err
	}
	found, err := parseAnswer(g.answer)
	if err != nil {
		return nil, b.failed(g, started, "the host's answer is not understood", err)
	}
	started, g, err = b.install(ctx, found, g, prefix)
	if err != nil {
		return nil, err
	}
	return b.client(started, g, wanted)
}

// wanted lists the digests of the programs we have, any of which may be cached:
// the architecture is not known before the first exec.
func (b *bootstrap) wanted() (map[string]string, error) {
	wanted := map[string]string{}
	if b.Programs != nil {
		for _, architecture := range b.Programs.Architectures() {
			digest, err := b.Programs.Digest(architecture)
			if err != nil {
				return nil, err
			}
			wanted[architecture] = digest
		}
	}
	if len(wanted) == 0 {
		return nil, &StartError{
			Summary: "this rbdplay was built without agent programs",
			Hint:    "build it with `make`, which runs `go run ./engine/agent/binaries/build` first; `connection: local` works without",
		}
	}
	return wanted, nil
}

// install sends the program and starts it.
func (b *bootstrap) install(ctx context.Context, found answer, g greeting, prefix becomePrefix) (transport.Session, greeting, error) {
	b.stats.Machine = found.machine()
	if found.problem != "" {
		return nil, g, &StartError{Summary: found.problem, Hint: found.hint(), Output: visible(g.noise)}
	}
	architecture, err := found.architecture()
	if err != nil {
		return nil, g, &StartError{Summary: err.Error(), Hint: "hosts must run Linux on amd64 or arm64"}
	}
	program, err := b.Programs.Program(architecture)
	if err != nil {
		return nil, g, &StartError{Summary: "no program for the host", Err: err}
	}
	content, packing, err := program.Packed(found.packing)
	if err != nil {
		return nil, g, err
	}
	upload := found.folder + "/upload-" + nonce()
	copying, cancel := context.WithTimeout(ctx, b.Timeout+transferTime(len(content)))
	defer cancel()
	if err := b.conn.Upload(copying, bytes.NewReader(content), int64(len(content)), upload, 0o600); err != nil {
		return nil, g, &StartError{Summary: "copying the program to " + upload + " failed", Err: err}
	}
	b.stats.UploadedBytes += int64(len(content))
	started, g, err := b.start(ctx, installScript(upload, found.folder, program.SHA256, packing, prefix))
	if err != nil || g.answer == "" {
		return started, g, err
	}
	said, parseErr := parseAnswer(g.answer)
	err = b.failed(g, started, said.problem, parseErr)
	_ = started.Close() // the script has ended
	return nil, g, err
}

// transferTime allows for a slow link: 32 KiB/s.
func transferTime(bytes int) time.Duration {
	return time.Duration(bytes/(32<<10)) * time.Second
}

func nonce() string {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

// start runs a script and waits for what it says first.
func (b *bootstrap) start(ctx context.Context, script string) (transport.Session, greeting, error) {
	b.stats.Execs++
	// The session outlives this call, so it must not end with the time limit.
	session, err := b.conn.Start(context.WithoutCancel(ctx), "exec /bin/sh -c '"+script+"'")
	if err != nil {
		return nil, greeting{}, &StartError{Summary: "the host does not run commands", Err: err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.Timeout, fmt.Errorf("no answer within %s", b.Timeout))
	defer cancel()
	type said struct {
		greeting
		err error
	}
	first := make(chan said, 1)
	reader := bufio.NewReader(session)
	go func() { // ends at the latest when the session is closed
		g, err := readGreeting(reader)
		first <- said{g, err}
	}()
	giveUp := func(cause error) (transport.Session, greeting, error) {
		_ = session.Close()
		return nil, greeting{}, cause
	}
	prompts := 0
	for {
		select {
		case s := <-first:
			if s.err != nil {
				err := b.failed(s.greeting, session, "", s.err)
				return giveUp(err)
			}
			b.stats.Noise += s.noise
			return &bufferedSession{session, reader}, s.greeting, nil
		case <-session.StderrGrew():
			if n := b.prompts(session); n > prompts {
				prompts = n
				if err := b.answerPrompt(session, n); err != nil {
					return giveUp(err)
				}
			}
		case <-ctx.Done():
			return giveUp(&StartError{Summary: "the host does not answer", Err: context.Cause(ctx), Output: visible(session.Stderr())})
		}
	}
}

// prompts counts how often the host has asked for the become password.
func (b *bootstrap) prompts(session transport.Session) int {
	if b.become.prompt == "" {
		return 0
	}
	return strings.Count(session.Stderr(), b.become.prompt)
}

// answerPrompt gives the password once; a second prompt means it was wrong.
func (b *bootstrap) answerPrompt(session transport.Session, n int) error {
	if !b.Become.Password.IsSet() {
		return &StartError{Summary: b.become.exe + " asks for a password", Hint: "give it with -K or ansible_become_password"}
	}
	if n > 1 {
		return &StartError{Summary: b.become.exe + " does not accept the become password", Hint: "check ansible_become_password or -K"}
	}
	_, err := io.WriteString(session.Stdin(), b.Become.Password.Reveal()+"\n")
	if err != nil {
		return &StartError{Summary: "handing over the become password failed", Err: err}
	}
	return nil
}

// failed explains a start that gave no banner: by summary, or when that is "" by
// what the host printed and how the command ended.
func (b *bootstrap) failed(g greeting, session transport.Session, summary string, cause error) error {
	if summary != "" {
		return &StartError{Summary: summary, Output: visible(g.noise + session.Stderr()), Err: cause}
	}
	if errors.Is(cause, errNoise) {
		return &StartError{Summary: cause.Error(), Hint: "make the login scripts quiet for sessions without a terminal"}
	}
	e := &StartError{Summary: "the host ended the command before the agent spoke", mute: true}
	if !errors.Is(cause, io.EOF) && !errors.Is(cause, io.ErrUnexpectedEOF) {
		e.Err = cause
	}
	code, err := exitSoon(session) // after it, standard error is complete
	if known := becomeFailure(session.Stderr()); b.become.exe != "" && known != nil {
		return known
	}
	if err == nil {
		e.Summary += fmt.Sprintf(" (exit status %d)", code)
		e.Hint = exitHint(code)
	}
	e.Output = visible(g.noise + session.Stderr())
	return e
}

func exitHint(code int) string {
	if code == 126 {
		return "the program cannot be run there: is the cache folder on a file system that root cannot read, or mounted noexec?"
	}
	return "can the user log in and run commands? try it with ssh"
}

// exitSoon waits a moment for the exit status of a command whose output ended.
func exitSoon(session transport.Session) (int, error) {
	type ended struct {
		code int
		err  error
	}
	wait := make(chan ended, 1)
	go func() { // ends with the session, which its owner closes
		code, err := session.Wait()
		wait <- ended{code, err}
	}()
	select {
	case e := <-wait:
		return e.code, e.err
	case <-time.After(time.Second):
		return 0, errors.New("still running")
	}
}

// visible shortens what a host printed to something fit for a message.
func visible(text string) string {
	text = strings.ReplaceAll(text, sudoPrompt, "")
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if runes := []rune(text); len(runes) > 600 {
		text = "…" + string(runes[len(runes)-600:])
	}
	return text
}

// bufferedSession reads on where the greeting ended.
type bufferedSession struct {
	transport.Session
	reader *bufio.Reader
}

func (s *bufferedSession) Read(p []byte) (int, error) { return s.reader.Read(p) }

// client checks the banner and takes the session over.
func (b *bootstrap) client(session transport.Session, g greeting, wanted map[string]string) (*Client, error) {
	if g.version != protocolVersion || !slices.Contains(slices.Collect(maps.Values(wanted)), g.build) {
		err := &StartError{
			Summary: fmt.Sprintf("a program with protocol %d and digest %.12s answers, not the one that was sent", g.version, g.build),
			Hint:    "remove ~/.cache/rbdplay and /var/tmp/.rbdplay-* on the host and look who changes them",
		}
		return nil, errors.Join(err, session.Close())
	}
	hangUp := func() error {
		_ = session.Stdin().Close() // the agent ends by itself; the session's end is what counts
		_, _ = exitSoon(session)
		return session.Close()
	}
	return newClient(session, session.Stdin(), b.Contents, hangUp, func(err error) error {
		return b.why(session, err)
	}), nil
}

// why says what ended an agent: the connection, or the agent itself.
func (b *bootstrap) why(session transport.Session, err error) error {
	code, waitErr := exitSoon(session)
	if waitErr != nil { // then most likely the connection has ended, and is about to know it
		select {
		case <-b.conn.Done():
		case <-time.After(time.Second):
		}
	}
	if lost := b.conn.Err(); lost != nil {
		return lost
	}
	text := "the agent has ended"
	if waitErr == nil {
		text += fmt.Sprintf(" with exit status %d", code)
	}
	if printed := visible(session.Stderr()); printed != "" {
		text += "; it printed: " + printed
	}
	return fmt.Errorf("%s: %w", text, err)
}

// answer is what the start script says on a host that has no program cached.
type answer struct {
	problem       string // why there is no way to go on, or ""
	system, uname string // uname -s, uname -m
	packing       string // the best that it can unpack
	folder        string
}

func (a answer) machine() string { return strings.TrimSpace(a.system + " " + a.uname) }

func (a answer) hint() string {
	switch a.problem {
	case problemNoBecome:
		return "install it on the host, give another become_method or become_exe, or log in as the user itself"
	case problemNoFolder:
		return "~/.cache/rbdplay or /var/tmp/.rbdplay-UID must be a folder of the user's own with mode 0700 (to become others than root: /var/tmp/.rbdplay-UID.shared, 0755), on a file system that is not mounted noexec"
	}
	return ""
}

func (a answer) architecture() (string, error) {
	if a.system == "Linux" {
		switch a.uname {
		case "x86_64", "amd64":
			return "amd64", nil
		case "aarch64", "arm64":
			return "arm64", nil
		}
	}
	return "", fmt.Errorf("there is no agent for %s", a.machine())
}

// What the scripts say after bootstrapMagic. "missing SYSTEM MACHINE xz|gzip|plain
// FOLDER", or one of the words below.
const (
	problemNoBecome = "there is no program to become another user with on the host"
	problemNoFolder = "there is no folder on the host that is ours alone and may hold programs"
	problemNoDigest = "there is none of sha256sum, openssl and shasum on the host, so the copied program cannot be checked"
	problemDigest   = "the copied program arrived damaged"
	problemUnpack   = "the copied program could not be unpacked (is the disk full?)"
)

var problems = map[string]string{
	"nobecome": problemNoBecome, "nofolder": problemNoFolder, "nodigest": problemNoDigest,
	"digest": problemDigest, "unpack": problemUnpack,
}

func parseAnswer(line string) (answer, error) {
	fields := strings.Fields(line)
	if len(fields) == 1 && problems[fields[0]] != "" {
		return answer{problem: problems[fields[0]]}, nil
	}
	if len(fields) == 3 && fields[0] == "nofolder" {
		return answer{problem: problemNoFolder, system: fields[1], uname: fields[2]}, nil
	}
	if len(fields) != 5 || fields[0] != "missing" || !slices.Contains([]string{packedXZ, packedGzip, packedNot}, fields[3]) {
		return answer{}, fmt.Errorf("the bootstrap script says %q", line)
	}
	a := answer{system: fields[1], uname: fields[2], packing: fields[3], folder: fields[4]}
	if err := transport.CheckPath(a.folder); err != nil || a.folder[0] != '/' {
		return answer{}, fmt.Errorf("the bootstrap script names the folder %q", a.folder)
	}
	return a, nil
}

// names are the file names of wanted programs, in a fixed order.
func names(wanted map[string]string) []string {
	var list []string
	for _, digest := range wanted {
		list = append(list, programName(digest))
	}
	slices.Sort(list)
	return list
}

// programPrefix stands before the digest in a program's name in the cache.
const programPrefix = "rbdplay-agent-"

func programName(digest string) string { return programPrefix + digest }
