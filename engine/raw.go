package engine

import (
	"context"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/modules"
)

// raw runs a text in the host's login shell, by way of the connection alone.
func (x *execution) raw(ctx context.Context, h *host, it *item, args map[string]any) (modules.Outcome, error) {
	a, err := decode[*modules.RawArgs](x, args)
	if err != nil {
		return modules.Outcome{}, err
	}
	target, err := x.target(ctx, x.doer(h, it), it.scope)
	if err != nil {
		return modules.Outcome{}, err
	}
	if c := target.Connection; target.Become != "" && (c.BecomeMethod != "" && c.BecomeMethod != "sudo" || c.BecomeExe != "" || c.BecomeFlags != "") {
		return modules.Outcome{}, diag.New(x.task.Range, "raw can become another user by plain sudo only, without become_exe and become_flags")
	}
	run := change.Change{Target: "raw " + a.Cmd, Action: change.Run}
	x.announce(h, it, run)
	if it.check {
		return modules.Outcome{Status: modules.Changed, Changes: it.begun, Result: modules.Result{}, Unknown: "what the command does"}, nil
	}
	x.links.touched()
	out, err := x.links.connector.Shell(ctx, target, shellText(a, target.Become))
	if err != nil {
		return modules.Outcome{}, err
	}
	result := modules.RawResult(out.Code, out.Stdout, out.Stderr)
	if out.Code != 0 {
		result["msg"] = "non-zero return code"
		return failedWith(result, "non-zero return code"), nil
	}
	return x.announced(h, it, result), nil
}

// shellText is what the login shell gets: the text, in the shell that is asked
// for, as the user to become.
func shellText(a *modules.RawArgs, become string) string {
	text := a.Cmd
	if a.Executable != "" {
		text = shellQuote(a.Executable) + " -c " + shellQuote(text)
	}
	if become == "" {
		return text
	}
	return "sudo -H -n -u " + shellQuote(become) + " -- /bin/sh -c " + shellQuote(text)
}

func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
