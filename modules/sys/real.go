package sys

import "context"

// Real is the machine that the process runs on.
type Real struct {
	files     *realFiles
	packages  *realPackages
	units     *realUnits
	mounts    *realMounts
	users     *realUsers
	resources *realResources
	network   *realNetwork
	system    *realSystem
	commands  *realCommands
}

var _ Host = (*Real)(nil)

// NewReal makes a Host of this machine. It looks at nothing yet, so it cannot
// fail; one Real serves any number of goroutines.
func NewReal() *Real {
	units := newRealUnits()
	return &Real{
		files:     newRealFiles(),
		packages:  newRealPackages(units),
		units:     units,
		mounts:    newRealMounts(),
		users:     newRealUsers(),
		resources: newRealResources(),
		network:   newRealNetwork(),
		system:    newRealSystem(),
		commands:  newRealCommands(),
	}
}

// Files reads the file systems.
func (r *Real) Files() FileReader { return r.files }

// Packages asks the package manager.
func (r *Real) Packages() PackageReader { return r.packages }

// Units asks systemd.
func (r *Real) Units() UnitReader { return r.units }

// Mounts reads the mount table.
func (r *Real) Mounts() MountReader { return r.mounts }

// Users asks the user and group databases.
func (r *Real) Users() UserReader { return r.users }

// Resources looks at what has no interface of its own.
func (r *Real) Resources() ResourceReader { return r.resources }

// Network talks to services.
func (r *Real) Network() NetworkReader { return r.network }

// Processes looks at the running processes.
func (r *Real) Processes() ProcessReader { return newRealProcesses() }

// System describes the machine.
func (r *Real) System(ctx context.Context) (System, error) { return r.system.System(ctx) }

// Probe runs a command that only reads.
func (r *Real) Probe(ctx context.Context, c Command) (Result, error) {
	return r.commands.Probe(ctx, c)
}

// Close ends the connection to systemd, if there is one. The Real can still be
// used; it then connects again.
func (r *Real) Close() { r.units.close() }

// Change changes the machine.
func (r *Real) Change() Writer { return realWriter{r} }

// realWriter is Real's other half: its facilities bear the same names as the
// readers and so cannot be methods of the same type.
type realWriter struct{ real *Real }

func (w realWriter) Files() FileWriter         { return w.real.files }
func (w realWriter) Packages() PackageWriter   { return w.real.packages }
func (w realWriter) Units() UnitWriter         { return w.real.units }
func (w realWriter) Mounts() MountWriter       { return w.real.mounts }
func (w realWriter) Users() UserWriter         { return w.real.users }
func (w realWriter) Resources() ResourceWriter { return w.real.resources }

func (w realWriter) Run(ctx context.Context, c Command) (Result, error) {
	return w.real.commands.Run(ctx, c)
}
