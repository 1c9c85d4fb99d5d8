package agent

import (
	"fmt"
	"strings"
)

// sudoPrompt is what sudo is told to ask with, so that no other text on standard
// error is taken for its prompt.
const sudoPrompt = "[rbdplay become password]"

// becomePrefix is how the scripts start the program: as they are, or by sudo.
type becomePrefix struct{ sudo string }

func (b *Become) prefix() (becomePrefix, error) {
	switch {
	case b == nil:
		return becomePrefix{}, nil
	case b.User != "" && b.User != "root":
		return becomePrefix{}, &StartError{
			Summary: fmt.Sprintf("become to user %s is not supported", b.User),
			Hint:    "only root can be become; log in as that user (ansible_user) instead",
		}
	case b.Method != "" && b.Method != "sudo":
		return becomePrefix{}, &StartError{Summary: fmt.Sprintf("become method %s is not supported", b.Method), Hint: "use sudo"}
	case strings.ContainsAny(b.Password.Reveal(), "\n\r\x00"):
		return becomePrefix{}, &StartError{Summary: "the become password holds a line break"}
	case b.Password.IsSet():
		return becomePrefix{`LC_ALL=C sudo -H -S -p "` + sudoPrompt + `" --`}, nil
	}
	return becomePrefix{"LC_ALL=C sudo -H -n --"}, nil
}

// check ends the script early on a host without sudo.
func (p becomePrefix) check() string {
	if p.sudo == "" {
		return ""
	}
	return `if test "$u" -ne 0; then command -v sudo >/dev/null 2>&1 || { ` + say("nosudo") + `exit 0; }; fi; `
}

// exec replaces the shell by the program, under the user's own umask $m; root
// needs no sudo.
func (p becomePrefix) exec(program string) string {
	if p.sudo == "" {
		return `umask $m; exec ` + program + `; `
	}
	environment, command, _ := strings.Cut(p.sudo, " ")
	return `umask $m; test "$u" -eq 0 && exec ` + program + `; ` + environment + `; export LC_ALL; exec ` + command + ` ` + program + `; `
}

// sudoFailure reads sudo's own words, which LC_ALL=C keeps in English.
func sudoFailure(stderr string) error {
	for _, known := range []struct{ text, summary, hint string }{
		{"incorrect password attempt", "sudo does not accept the become password", "check ansible_become_password or -K"},
		{"Sorry, try again", "sudo does not accept the become password", "check ansible_become_password or -K"},
		{"a password is required", "sudo asks for a password", "give it with -K or ansible_become_password, or allow the user NOPASSWD in sudoers"},
		{"a terminal is required", "sudo asks for a password", "give it with -K or ansible_become_password, or allow the user NOPASSWD in sudoers"},
		{"is not in the sudoers file", "the user may not use sudo: it is not in the sudoers file", "add it there, or log in as another user"},
		{"may not run sudo", "the user may not use sudo", "allow it in sudoers, or log in as another user"},
		{"is not allowed to execute", "the user may not become root with sudo", "allow it in sudoers; the agent is a program below ~/.cache/rbdplay, so a list of single commands does not do"},
		{"you must have a tty", "sudo on the host wants a terminal (requiretty)", "add `Defaults:USER !requiretty` to sudoers"},
		{"account validation failure", "sudo refuses the user's account", "is it locked or expired?"},
	} {
		if strings.Contains(stderr, known.text) {
			return &StartError{Summary: known.summary, Hint: known.hint, Output: visible(stderr)}
		}
	}
	return nil
}
