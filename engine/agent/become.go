package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

// sudoPrompt is what sudo is told to ask with, so that no other text on standard
// error is taken for its prompt. su asks with a text of its own.
const (
	sudoPrompt = "[rbdplay become password]"
	suPrompt   = "Password: "
)

// becomePrefix is how the scripts start the program: as they are, by sudo or by
// su.
type becomePrefix struct {
	exe    string // sudo, su, or become_exe; "" for neither
	words  string // exe and all that stands before the program
	prompt string // with which it asks for a password
	quoted bool   // su takes the program as a text for the user's shell
	root   bool   // root is to be become, so root needs none of it
	shared bool   // the program must be readable for another user than ours
}

// The words of a prefix stand in a script as they are, inside single quotes.
var plainWord = lazy.Regexp(`^[A-Za-z0-9_./=:,@%+-]+$`)

func (b *Become) prefix() (becomePrefix, error) {
	if b == nil {
		return becomePrefix{}, nil
	}
	user, method := b.User, b.Method
	if user == "" {
		user = "root"
	}
	if method == "" {
		method = "sudo"
	}
	flags := strings.Fields(b.Flags)
	for name, words := range map[string][]string{"user": {user}, "exe": {b.Exe}, "flags": flags} {
		for _, word := range words {
			if word != "" && !plainWord().MatchString(word) || name == "user" && word[0] == '-' {
				return becomePrefix{}, &StartError{
					Summary: fmt.Sprintf("become %s %q is not supported", name, word),
					Hint:    "letters, digits and _ . / = : , @ % + - can stand in it",
				}
			}
		}
	}
	if strings.ContainsAny(b.Password.Reveal(), "\n\r\x00") {
		return becomePrefix{}, &StartError{Summary: "the become password holds a line break"}
	}
	p := becomePrefix{exe: b.Exe, root: user == "root", shared: user != "root"}
	if p.exe == "" {
		p.exe = method
	}
	switch method {
	case "sudo":
		p.prompt, p.words = sudoPrompt, b.sudo(p.exe, user, flags)
	case "su":
		p.prompt, p.quoted, p.shared = suPrompt, true, true // its path needs no quotes inside those of -c
		p.words = strings.Join(append(append([]string{p.exe}, flags...), user, "-c"), " ")
	default:
		return becomePrefix{}, &StartError{Summary: fmt.Sprintf("become method %s is not supported", method), Hint: "use sudo or su"}
	}
	return p, nil
}

// sudo is the command up to the program. As with Ansible, flags take the place of
// -H; whether sudo may ask is not theirs to say.
func (b *Become) sudo(exe, user string, flags []string) string {
	flags = slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return f == "-n" || f == "-S" })
	if b.Flags == "" {
		flags = []string{"-H"}
	}
	words := append([]string{exe}, flags...)
	if b.Password.IsSet() {
		words = append(words, `-S -p "`+sudoPrompt+`"`)
	} else {
		words = append(words, "-n")
	}
	if user != "root" {
		words = append(words, "-u", user)
	}
	return strings.Join(append(words, "--"), " ")
}

// check ends the script early on a host that has not what is needed to become.
func (p becomePrefix) check() string {
	if p.exe == "" {
		return ""
	}
	missing := `command -v ` + p.exe + ` >/dev/null 2>&1 || { ` + say("nobecome") + `exit 0; }; `
	if p.root {
		return `if test "$u" -ne 0; then ` + missing + `fi; `
	}
	return missing
}

// exec replaces the shell by the program.
func (p becomePrefix) exec(program string) string {
	if p.exe == "" {
		return `exec ` + program + `; `
	}
	script := ""
	if p.root {
		script += `test "$u" -eq 0 && exec ` + program + `; `
	}
	if p.quoted {
		program = `"exec ` + strings.ReplaceAll(program, `"`, "") + `"`
	}
	return script + `LC_ALL=C; export LC_ALL; exec ` + p.words + ` ` + program + `; `
}

// becomeFailure reads the own words of sudo and su, which LC_ALL=C keeps in English.
func becomeFailure(stderr string) error {
	for _, known := range []struct{ text, summary, hint string }{
		{"incorrect password attempt", "sudo does not accept the become password", "check ansible_become_password or -K"},
		{"Sorry, try again", "sudo does not accept the become password", "check ansible_become_password or -K"},
		{"a password is required", "sudo asks for a password", "give it with -K or ansible_become_password, or allow the user NOPASSWD in sudoers"},
		{"a terminal is required", "sudo asks for a password", "give it with -K or ansible_become_password, or allow the user NOPASSWD in sudoers"},
		{"is not in the sudoers file", "the user may not use sudo: it is not in the sudoers file", "add it there, or log in as another user"},
		{"may not run sudo", "the user may not use sudo", "allow it in sudoers, or log in as another user"},
		{"Authentication failure", "su does not accept the become password", "check ansible_become_password or -K"},
		{"account is currently not available", "the user to become has no login shell", "with su, give it one in become_flags: -s /bin/sh"},
		{"unknown user", "there is no such user on the host", "check become_user"},
		{"su: user", "there is no such user on the host", "check become_user"},
		{"is not allowed to execute", "the user may not become the other with sudo", "allow it in sudoers; the agent is a program below ~/.cache/rbdplay or /var/tmp, so a list of single commands does not do"},
		{"you must have a tty", "sudo on the host wants a terminal (requiretty)", "add `Defaults:USER !requiretty` to sudoers"},
		{"account validation failure", "sudo refuses the user's account", "is it locked or expired?"},
	} {
		if strings.Contains(stderr, known.text) {
			return &StartError{Summary: known.summary, Hint: known.hint, Output: visible(stderr)}
		}
	}
	return nil
}
