package play

// Tasks lists the play's tasks as far as they are known now, in the order in
// which they stand; handlers are not among them. An include stands before what it
// brings, which is known when its name holds no template.
func (p *Play) Tasks() []*Task {
	var tasks []*Task
	for _, stage := range p.Stages {
		walkSteps(p, stage.Steps, func(_ *Play, t *Task) { tasks = append(tasks, t) })
	}
	return tasks
}
