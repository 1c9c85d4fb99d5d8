package sys

import "context"

// Shadow is a copy-on-write layer over another host: what is written to it stays
// in memory, and what is read from it is the other host as those writes would
// have left it. The host beneath is never changed.
type Shadow struct {
	// under is read only by its type, so that no mistake in a facility can write
	// to the host beneath.
	under Reader

	files     *shadowFiles
	packages  *shadowPackages
	units     *shadowUnits
	mounts    *shadowMounts
	users     *shadowUsers
	resources *shadowResources
	network   *shadowNetwork
	system    *shadowSystem
	commands  *shadowCommands
}

var _ Host = (*Shadow)(nil)

// NewShadow lays an empty shadow over under. One Shadow serves any number of
// goroutines, but a step sees another's writes only in the order they are made.
func NewShadow(under Host) *Shadow {
	sh := &Shadow{under: ReadOnly(under)}
	sh.files = newShadowFiles(sh)
	sh.packages = newShadowPackages(sh)
	sh.units = newShadowUnits(sh)
	sh.mounts = newShadowMounts(sh)
	sh.users = newShadowUsers(sh)
	sh.resources = newShadowResources(sh)
	sh.network = newShadowNetwork(sh)
	sh.system = newShadowSystem(sh)
	sh.commands = newShadowCommands(sh)
	return sh
}

// Files reads files as they would be.
func (sh *Shadow) Files() FileReader { return sh.files }

// Packages says which packages would be installed.
func (sh *Shadow) Packages() PackageReader { return sh.packages }

// Units says in which states units would be.
func (sh *Shadow) Units() UnitReader { return sh.units }

// Mounts reads the mount table as it would be.
func (sh *Shadow) Mounts() MountReader { return sh.mounts }

// Users asks the user and group databases.
func (sh *Shadow) Users() UserReader { return sh.users }

// Resources says what would be, for what has no interface of its own.
func (sh *Shadow) Resources() ResourceReader { return sh.resources }

// Network talks to the host's services while they are known to be unchanged.
func (sh *Shadow) Network() NetworkReader { return sh.network }

// Processes looks at the running processes.
func (sh *Shadow) Processes() ProcessReader { return &shadowProcesses{sh} }

// System describes the machine.
func (sh *Shadow) System(ctx context.Context) (System, error) { return sh.system.System(ctx) }

// Probe runs a command that only reads on the host beneath.
func (sh *Shadow) Probe(ctx context.Context, c Command) (Result, error) {
	return sh.commands.Probe(ctx, c)
}

// Change writes to the shadow.
func (sh *Shadow) Change() Writer { return shadowWriter{sh} }

type shadowWriter struct{ shadow *Shadow }

func (w shadowWriter) Files() FileWriter         { return w.shadow.files }
func (w shadowWriter) Packages() PackageWriter   { return w.shadow.packages }
func (w shadowWriter) Units() UnitWriter         { return w.shadow.units }
func (w shadowWriter) Mounts() MountWriter       { return w.shadow.mounts }
func (w shadowWriter) Users() UserWriter         { return w.shadow.users }
func (w shadowWriter) Resources() ResourceWriter { return w.shadow.resources }

func (w shadowWriter) Run(ctx context.Context, c Command) (Result, error) {
	return w.shadow.commands.Run(ctx, c)
}
