package agent

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine/transport"
)

func TestReadGreeting(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want greeting
		rest string
		err  string
	}{
		"banner":           {text: banner("abc") + "rest", want: greeting{version: 1, build: "abc"}, rest: "rest"},
		"noise":            {text: "Welcome!\nrbdplay-agent 1 fake\n" + banner("abc"), want: greeting{noise: "Welcome!\nrbdplay-agent 1 fake\n", version: 1, build: "abc"}},
		"noise, no end":    {text: "Welcome" + banner("abc"), want: greeting{noise: "Welcome", version: 1, build: "abc"}},
		"answer":           {text: "hi\nrbdplay-bootstrap: nobecome\n", want: greeting{noise: "hi\n", answer: "nobecome"}},
		"nothing":          {text: "", err: "EOF"},
		"only noise":       {text: "No account\n", want: greeting{noise: "No account\n"}, err: "EOF"},
		"half a banner":    {text: banner("abc")[:20], want: greeting{noise: banner("abc")[:20]}, err: "EOF"},
		"damaged banner":   {text: magic + " one two\n", err: "damaged"},
		"too much":         {text: strings.Repeat("x", noiseLimit+1), want: greeting{noise: strings.Repeat("x", noiseLimit)}, err: "64 KiB"},
		"too much by line": {text: strings.Repeat("0123456789\n", noiseLimit/10), err: "64 KiB"},
	} {
		r := bufio.NewReader(strings.NewReader(tt.text))
		got, err := readGreeting(r)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v", name, err)
			}
			if tt.want.noise != "" && got.noise != tt.want.noise {
				t.Errorf("%s: noise %.40q", name, got.noise)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if rest, _ := io.ReadAll(r); string(rest) != tt.rest {
			t.Errorf("%s: left %q", name, rest)
		}
	}
}

func TestParseAnswer(t *testing.T) {
	got, err := parseAnswer("missing Linux aarch64 gzip /home/u/.cache/rbdplay")
	if err != nil {
		t.Fatal(err)
	}
	if architecture, err := got.architecture(); err != nil || architecture != "arm64" || got.packing != "gzip" || got.folder != "/home/u/.cache/rbdplay" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, line := range []string{"", "missing", "missing Linux x86_64 gzip relative/path", "missing Linux x86_64 gzip /a`b`", "missing Linux x86_64 zip /a", "unknown"} {
		if got, err := parseAnswer(line); err == nil {
			t.Errorf("%q is read as %+v", line, got)
		}
	}
	for _, line := range []string{"missing Darwin arm64 gzip /a", "missing Linux riscv64 gzip /a"} {
		a, err := parseAnswer(line)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.architecture(); err == nil {
			t.Errorf("%q has a program", line)
		}
	}
}

func TestBecomePrefixRefuses(t *testing.T) {
	for _, b := range []*Become{{User: "a b"}, {User: "-x"}, {Method: "doas"}, {Exe: "sudo$(id)"}, {Flags: "-p 'x'"}, {Password: transport.NewSecret("a\nb")}} {
		_, err := b.prefix()
		if _, ok := errors.AsType[*StartError](err); !ok {
			t.Errorf("%+v: %v", b, err)
		}
	}
}

// The scripts travel inside single quotes, on one line, past csh.
func TestScriptsAreQuotable(t *testing.T) {
	wanted := map[string]string{"amd64": "aa", "arm64": "bb"}
	for _, b := range []*Become{nil, {}, {User: "app", Flags: "-E -n", Password: transport.NewSecret("it's!")}, {Method: "su", User: "app", Exe: "/bin/su", Flags: "-"}} {
		prefix, err := b.prefix()
		if err != nil {
			t.Fatal(err)
		}
		for _, script := range []string{startScript(wanted, prefix), installScript("/a/upload-1", "/a", "aa", packedXZ, prefix)} {
			if bad := strings.IndexAny(script, "'!\n"); bad >= 0 {
				t.Errorf("script holds %q: %s", script[bad], script)
			}
		}
	}
}
