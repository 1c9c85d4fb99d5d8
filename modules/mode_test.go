package modules

import (
	"strings"
	"testing"
)

func TestParseMode(t *testing.T) {
	tests := []struct {
		in        any
		now       uint32
		directory bool
		want      uint32
	}{
		{in: "0644", want: 0o644},
		{in: "644", want: 0o644},
		{in: "0o755", want: 0o755},
		{in: "1777", want: 0o1777},
		{in: 0o644, want: 0o644}, // YAML's 0644 without quotes
		{in: 0o1777, want: 0o1777},
		{in: int64(0), want: 0},
		{in: "u=rw,g=r,o=", now: 0o777, want: 0o640},
		{in: "a+x", now: 0o644, want: 0o755},
		{in: "go-rwx", now: 0o4755, want: 0o4700},
		{in: "u+s,g+s", now: 0o755, want: 0o6755},
		{in: "u=", now: 0o4755, want: 0o055},
		{in: "o+t", now: 0o777, want: 0o1777},
		{in: "u+t", now: 0o777, want: 0o777},
		{in: "+w", now: 0o444, want: 0o644},
		{in: "+x", now: 0o600, want: 0o711},
		{in: "=rw", now: 0o777, want: 0o644},
		{in: "u=rwX,g=rX,o=", now: 0o644, want: 0o640},
		{in: "u=rwX,g=rX,o=", now: 0o755, want: 0o750},
		{in: "u=rwX,g=rX,o=", now: 0o600, directory: true, want: 0o750},
		{in: "g=u,o=g", now: 0o700, want: 0o777},
		{in: "u+x-w", now: 0o600, want: 0o500},
	}
	for _, test := range tests {
		mode, err := ParseMode(test.in)
		if err != nil {
			t.Errorf("%v: %v", test.in, err)
			continue
		}
		if got := mode.On(test.now, test.directory); got != test.want {
			t.Errorf("%v on %04o is %04o, want %04o", test.in, test.now, got, test.want)
		}
	}
}

func TestParseModeRefuses(t *testing.T) {
	for in, want := range map[any]string{
		"":         "octal number in quotes",
		"rw":       "octal number in quotes",
		"x+r":      "is none of u, g, o, a",
		"u+q":      "is no permission",
		"99":       "octal number in quotes",
		"17777":    "out of range",
		644:        "write '0644'",
		755:        "write '0755'",
		-1:         "out of range",
		true:       "octal number in quotes",
		0.5:        "octal number in quotes",
		"u=rw,,+x": "octal number in quotes",
	} {
		_, err := ParseMode(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want an error with %q", in, err, want)
		}
	}
}

func FuzzParseMode(f *testing.F) {
	for _, seed := range []string{"0644", "u=rwX,g-w", "preserve", "a+st", "=", "u+g"} {
		f.Add(seed, uint32(0o644))
	}
	f.Fuzz(func(t *testing.T, text string, now uint32) {
		mode, err := ParseMode(text)
		if err != nil || mode.Preserve {
			return
		}
		got := mode.On(now&0o7777, false)
		if got > 0o7777 {
			t.Errorf("%q on %o gives %o", text, now, got)
		}
		if again := mode.On(got, false); !strings.ContainsAny(text, "Xgu") && again != got {
			t.Errorf("%q on %o gives %o, then %o", text, now, got, again)
		}
	})
}
