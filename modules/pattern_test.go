package modules

import (
	"regexp"
	"strings"
	"testing"
)

func TestCompilePython(t *testing.T) {
	tests := []struct {
		pattern, text string
		matches       bool
	}{
		{`^a.c\Z`, "abc", true},
		{`a{,2}b`, "b", true},
		{`^a{,2}b`, "aaab", false},
		{`[[]x`, "[x", true},
		{`[[:]`, ":", true},
		{`[]a]`, "]", true},
		{`[^]a]`, "]", false},
		{`(?P<n>x)`, "x", true},
		{`\[x\]`, "[x]", true},
		{`(?i)ABC`, "abc", true},
		{`a\+b+`, "a+bb", true},
		{`[*+]+`, "+*", true},
		{`\s/grdata\s+nfs\s`, "m:/grdata /grdata nfs rw", true},
	}
	for _, test := range tests {
		re, err := compilePython(test.pattern, "")
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		if got := re.MatchString(test.text); got != test.matches {
			t.Errorf("%s in %q: %t", test.pattern, test.text, got)
		}
	}
}

func TestCompilePythonNamesWhatItRefuses(t *testing.T) {
	for pattern, want := range map[string]string{
		`a(?=b)`: "look-ahead (?=…)", `a(?!b)`: "negative look-ahead", `(?<=a)b`: "look-behind", `(?<!a)b`: "negative look-behind",
		`(a)\1`: `back-reference \1`, `(?P<n>a)(?P=n)`: "back-reference (?P=…)", `a++`: "possessive repeat ++", `a{1,2}+`: "possessive",
		`(?>a)`: "atomic", `(?(1)a|b)`: "conditional", `(?x) a`: "verbose", `(?#c)`: "comment", `(a`: "missing closing )",
	} {
		if _, err := compilePython(pattern, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", pattern, err, want)
		}
	}
}

func TestExpansion(t *testing.T) {
	re := regexp.MustCompile(`(?P<key>\w+)=(\w*)(!)?`)
	tests := []struct{ template, want, err string }{
		{template: `\1`, want: "a"},
		{template: `\g<key>:\g<2>`, want: "a:b"},
		{template: `\g<0>\n\t\\`, want: "a=b\n\t\\"},
		{template: `[\3]`, want: "[]"},
		{template: `\.`, want: `\.`},
		{template: `$1 %s`, want: "$1 %s"},
		{template: `end\`, want: `end\`},
		{template: `\4`, err: "none is number 4"},
		{template: `\g<no>`, err: `no group named "no"`},
		{template: `\q`, err: `escape \q means nothing`},
	}
	for _, test := range tests {
		e, err := parseExpansion(test.template, re)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: got %v, want %q", test.template, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.template, err)
			continue
		}
		if got := e.expand("a=b", re.FindStringSubmatchIndex("a=b")); got != test.want {
			t.Errorf("%s gives %q, want %q", test.template, got, test.want)
		}
	}
}

func FuzzCompilePython(f *testing.F) {
	for _, seed := range []string{`^a.c\Z`, `[[]x{,3}`, `(?P<n>a)|b*+`, `\`, `[^]`} {
		f.Add(seed, `\1\g<n>`)
	}
	f.Fuzz(func(_ *testing.T, pattern, template string) {
		re, err := compilePython(pattern, "m")
		if err != nil {
			return
		}
		if e, err := parseExpansion(template, re); err == nil {
			if match := re.FindStringSubmatchIndex(pattern); match != nil {
				e.expand(pattern, match)
			}
		}
	})
}

func TestExclusions(t *testing.T) {
	tests := []struct {
		pattern, path string
		directory     bool
		matches       bool
	}{
		{"*.log", "a/b.log", false, true},
		{"*.log", "a/b.logs", false, false},
		{"/cache/", "cache", true, true},
		{"/cache/", "cache", false, false},
		{"/cache/", "a/cache", true, false},
		{"cache", "a/cache", false, true},
		{"cache", "a/mycache", false, false},
		{"a/*/c", "x/a/b/c", false, true},
		{"a/*/c", "a/b/b/c", false, false},
		{"a/**/c", "a/b/b/c", false, true},
		{"[!a]x", "bx", false, true},
		{"[!a]x", "ax", false, false},
		{"?", "ü", false, true},
		{`\*`, "*", false, true},
		{"*", ".", true, false},
	}
	for _, test := range tests {
		e, err := parseExclusions([]string{test.pattern})
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		if got := e.match(test.path, test.directory); got != test.matches {
			t.Errorf("%s on %s: %t", test.pattern, test.path, got)
		}
	}
	for _, bad := range []string{"", "/", "[a", "[]"} {
		if _, err := parseExclusions([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzExclusions(f *testing.F) {
	f.Add("a/**/[!b]?", "a/x/c")
	f.Add(`/\[x/`, "x")
	f.Fuzz(func(_ *testing.T, pattern, path string) {
		if e, err := parseExclusions([]string{pattern}); err == nil {
			e.match(path, true)
		}
	})
}

// What is parsed and put together again is what it was.
func FuzzHosts(f *testing.F) {
	f.Add("127.0.0.1\tlocalhost # x\n\n# c\n::1 a  b", "a")
	f.Add("10.0.0.1 a\r\n10.0.0.2 A a", "b")
	f.Fuzz(func(t *testing.T, text, name string) {
		if got := joinHosts(parseHosts(text)); got != text {
			t.Fatalf("%q became %q", text, got)
		}
		wish, err := hostsWishOf(name, "10.0.0.1", false)
		if err != nil {
			return
		}
		once := joinHosts(wish.apply(parseHosts(text), false))
		if twice := joinHosts(wish.apply(parseHosts(once), false)); twice != once {
			t.Fatalf("%q became %q, then %q", text, once, twice)
		}
	})
}
