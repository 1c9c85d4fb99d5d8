package lookup

import (
	"strings"
)

// run runs the terms as commands of the shell, in the playbook's folder.
func (c *call) run() ([]string, error) {
	commands, err := c.texts("commands")
	if err != nil {
		return nil, err
	}
	dir := ""
	if asker, err := AskerOf(c.scope); err == nil {
		dir = asker.Dir()
	}
	outputs := make([]string, len(commands))
	for i, command := range commands {
		if outputs[i], err = c.controller.Run(c.ctx, command, dir); err != nil {
			return nil, err
		}
	}
	return outputs, nil
}

// pipe gives what commands print. As in Ansible they run in check mode, too: a
// lookup is there to look.
func pipe(c *call) ([]any, error) {
	outputs, err := c.run()
	values := []any{}
	for _, output := range outputs {
		values = append(values, strings.TrimRight(output, blanks))
	}
	return values, err
}

// lines gives the lines that commands print.
func lines(c *call) ([]any, error) {
	outputs, err := c.run()
	values := []any{}
	for _, output := range outputs {
		for line := range strings.Lines(output) {
			values = append(values, strings.TrimRight(line, "\r\n"))
		}
	}
	return values, err
}
