package engine

import (
	"context"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
)

// readVarsFiles reads, before a task, the vars_files whose names need a host, and
// gives the hosts for which that went well. As in Ansible a name is not held
// against a host whose facts are not known yet: the file is passed by until they
// are, which is said once.
func (p *playRun) readVarsFiles(ctx context.Context, t *play.Task, hosts []*host, rescued bool) []*host {
	if len(p.play.HostVarsFiles) == 0 {
		return hosts
	}
	var ready, broken []*host
	var faults []error
	for _, h := range hosts {
		if err := p.readHostVarsFiles(ctx, t, h); err != nil {
			broken, faults = append(broken, h), append(faults, err)
			continue
		}
		ready = append(ready, h)
	}
	if len(broken) > 0 {
		p.without(ctx, t, broken, rescued, func(x *execution, i int) *taskEnd { return x.faulty(faults[i]) })
	}
	return ready
}

func (p *playRun) readHostVarsFiles(ctx context.Context, t *play.Task, h *host) error {
	h.varsFiles = nil
	for _, file := range p.play.HostVarsFiles {
		vars, rendered, err := file.Vars(ctx, p.scope(h))
		_, unknown := play.IsUnknown(err)
		switch {
		case err == nil:
			h.varsFiles = append(h.varsFiles, scope.Layer{Level: scope.PlayVarsFiles, Vars: vars})
		case rendered || unknown || h.vars.HasFacts():
			return err
		case (t.Spec == nil || t.Spec.Name != "setup") && !h.varsFilesLack:
			h.varsFilesLack = true
			p.emit(event.Message{Host: h.name, Warning: true, Text: fmt.Sprintf("%s: this file of variables is passed by until the facts of the host are known: %v", file.Range, err)})
		}
	}
	return nil
}
