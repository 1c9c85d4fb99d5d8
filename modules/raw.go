package modules

import (
	"errors"
	"strings"
)

// RawArgs are the arguments of raw.
type RawArgs struct {
	onController
	Cmd        string `arg:"free_form,required" alias:"cmd" doc:"The text that the login shell of the host runs."`
	Executable string `arg:"executable" doc:"An absolute path of a shell that runs the text in place of the login shell."`
}

func rawSpec() Spec {
	return Spec{
		Name:     "raw",
		Summary:  "Run a text in the login shell of a host, without an agent there",
		Place:    OnController,
		New:      func() Module { return &RawArgs{} },
		FreeForm: "free_form",
		Notes: []string{
			"For hosts on which no agent can run: the text goes through the connection itself. With become it runs under sudo, which must not ask for a password.",
			runNote + " environment does not reach it.",
		},
		Returns: []Return{
			{Name: "rc", Type: "int", Doc: "The exit code; 128+n for signal n.", Run: true},
			{Name: "stdout", Type: "string", Doc: "Standard output.", Run: true},
			{Name: "stderr", Type: "string", Doc: "The end of standard error, about a KiB.", Run: true},
			{Name: "stdout_lines", Type: "list", Doc: "Standard output by lines.", Run: true},
			{Name: "stderr_lines", Type: "list", Doc: "Standard error by lines.", Run: true},
		},
		Examples: []Example{{"What is this host?", `
raw: uname -sm
register: what
changed_when: false`}},
	}
}

// Validate wants a text.
func (a *RawArgs) Validate() error {
	switch {
	case strings.TrimSpace(a.Cmd) == "":
		return errors.New("raw: no command is given")
	case a.Executable != "" && !strings.HasPrefix(a.Executable, "/"):
		return errors.New("raw: executable must be an absolute path")
	}
	return nil
}

// RawResult fills the result keys of raw.
func RawResult(code int, stdout, stderr string) Result {
	result := Result{"rc": code}
	for name, text := range map[string]string{"stdout": stdout, "stderr": stderr} {
		text = strings.TrimRight(strings.ToValidUTF8(text, "\ufffd"), "\r\n")
		result[name], result[name+"_lines"] = text, lines(text)
	}
	return result
}
