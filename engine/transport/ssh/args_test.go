package ssh

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestApplyArgs(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Config
		err  string
	}{
		{text: "", want: Config{}},
		{text: "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null", want: Config{StrictHostKeyChecking: NoCheck, KnownHostsFiles: []string{"/dev/null"}}},
		{text: "-oStrictHostKeyChecking=accept-new", want: Config{StrictHostKeyChecking: AcceptNew}},
		{text: `-o "ConnectTimeout 7" -o 'ServerAliveInterval=20'`, want: Config{Timeout: 7 * time.Second, Keepalive: 20 * time.Second}},
		{text: "-i /a/key -i '/b c/key' -o IdentitiesOnly=yes", want: Config{KeyFiles: []string{"/a/key", "/b c/key"}, IdentitiesOnly: true}},
		{text: "-p 2222 -J me@bastion:22,second -l root -F none", want: Config{Port: 2222, Jump: "me@bastion:22,second", User: "root", ConfigFile: "none"}},
		{text: "-C", err: "-C"},
		{text: "-o ControlMaster=auto -o ControlPersist=60s -qT", want: Config{}},
		{text: "-o PasswordAuthentication=no", want: Config{Methods: []string{"publickey", "keyboard-interactive"}}},
		{text: "-o PreferredAuthentications=password", want: Config{Methods: []string{"password"}}},
		{text: `-o ProxyCommand="ssh -W %h:%p bastion"`, err: "write -J"},
		{text: "-o Ciphers=aes128-ctr", err: "not supported"},
		{text: "-o ForwardAgent=yes", err: "not supported"},
		{text: "-o ForwardAgent=no", want: Config{}},
		{text: "-o StrictHostKeyChecking=perhaps", err: "yes, accept-new or no"},
		{text: "-o Port=99999", err: "no port"},
		{text: "-o", err: "lacks its value"},
		{text: "-L 80:a:80", err: "-L"},
		{text: "host", err: "only options"},
		{text: "-J -oProxyCommand=x", err: "no host name"},
		{text: "-i 'open", err: "quote"},
		{text: "-o ConnectTimeout=0", err: "above zero"},
	} {
		var got Config
		err := got.ApplyArgs(tt.text)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want one with %q", tt.text, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(Config{}, "Password", "Passphrase")); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.text, diff)
		}
	}
}

func TestApplyArgsKeepsWhatIsSet(t *testing.T) {
	c := Config{Port: 22, User: "root", Jump: "a"}
	if err := c.ApplyArgs("-p 2222 -l other -J b"); err != nil {
		t.Fatal(err)
	}
	if c.Port != 22 || c.User != "root" || c.Jump != "a" {
		t.Errorf("%d %s %s", c.Port, c.User, c.Jump)
	}
}

func TestParseJump(t *testing.T) {
	for text, want := range map[string][]jumpHost{
		"":                            nil,
		"none":                        nil,
		"bastion":                     {{host: "bastion"}},
		"me@bastion:2222":             {{user: "me", host: "bastion", port: 2222}},
		"ssh://me@bastion:2222/":      {{user: "me", host: "bastion", port: 2222}},
		"[fe80::1]:22,fd00::2":        {{host: "fe80::1", port: 22}, {host: "fd00::2"}},
		"a@realm@bastion, second:222": {{user: "a@realm", host: "bastion"}, {host: "second", port: 222}},
	} {
		got, err := parseJump(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(jumpHost{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", text, diff)
		}
	}
	for _, text := range []string{",", "a:0", "a:x", "@", "-x", "a b"} {
		if got, err := parseJump(text); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}

func FuzzApplyArgs(f *testing.F) {
	for _, seed := range []string{
		"-o StrictHostKeyChecking=no -i /a", `-o "ProxyJump b" -p22`, "-J a@b:2 -F none", `'\"`, "-oPort=1 -qTx", "-o A", "--",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c Config
		if err := c.ApplyArgs(text); err != nil {
			return
		}
		if c.Port < 0 || c.Port > 65535 || c.Timeout < 0 || c.Keepalive < 0 {
			t.Errorf("%q gives port %d, timeout %s", text, c.Port, c.Timeout)
		}
		if _, err := parseJump(c.Jump); err != nil {
			t.Errorf("%q gives the jump %q: %v", text, c.Jump, err)
		}
	})
}
