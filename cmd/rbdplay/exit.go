package main

// The exit codes, the same for every command.
const (
	exitFine        = 0
	exitWrong       = 1
	exitFailed      = 2
	exitChanges     = 3
	exitUnreachable = 4
	exitInterrupted = 130
)

// exitCodes stands in every help text.
const exitCodes = `
Exit codes:
  0    fine
  1    the playbook, the inventory or the arguments are wrong; nothing was contacted
  2    a host failed
  3    with --detailed-exitcode: a check found changes
  4    a host was unreachable
  130  interrupted`

// exitError ends the program with a code. err is nil when everything was said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return "failed"
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }
