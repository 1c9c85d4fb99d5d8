// Package sys is what a host can do, as modules see it. A module reads through
// Reader while it plans and writes through Host while it acts. Two
// implementations stand behind the interfaces: Real, the machine itself, and
// Shadow, a copy-on-write layer over another Host that lives in memory, so that
// check mode runs the very code of a real run.
//
// Rules that every implementation keeps:
//   - "Not there" is an error for which errors.Is(err, fs.ErrNotExist) holds (or
//     a zero state where the method says so). Every other error means "could
//     not look" and is never read as absence.
//   - What a shadow cannot know is an *UnknownError.
//   - Every method stops when ctx ends and returns ctx's error; a write that was
//     cancelled has left either the old state or the new one.
package sys

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"
)

// Reader is all that a plan may use. It offers no way to write.
type Reader interface {
	Files() FileReader
	Packages() PackageReader
	Units() UnitReader
	Mounts() MountReader
	Users() UserReader
	Resources() ResourceReader
	Network() NetworkReader
	Processes() ProcessReader
	// System describes the machine; it does not change during a run.
	System(ctx context.Context) (System, error)
	// Probe runs a command that only reads. The caller vouches for that: a
	// shadow really runs it. A program that is not installed is an error for
	// which errors.Is(err, exec.ErrNotFound) holds; a non-zero exit is no error.
	Probe(ctx context.Context, c Command) (Result, error)
	// Pause lets d pass on the host, for a module that waits for something. In a
	// shadow time changes nothing, so that its answer is an *UnknownError at once:
	// a wait whose condition does not hold yet is deferred there, not sat out.
	Pause(ctx context.Context, d time.Duration) error
}

// Host is a Reader that can also be changed.
type Host interface {
	Reader
	Change() Writer
}

// Writer changes the host. Steps use it, plans never see it.
type Writer interface {
	Files() FileWriter
	Packages() PackageWriter
	Units() UnitWriter
	Mounts() MountWriter
	Users() UserWriter
	Resources() ResourceWriter
	// Run executes a command with effects. What it does cannot be predicted: a
	// shadow returns an *UnknownError and remembers that something ran.
	Run(ctx context.Context, c Command) (Result, error)
}

// ReadOnly hides a host's Writer, so that no type assertion in a plan finds it.
func ReadOnly(h Host) Reader { return readOnly{h} }

type readOnly struct{ Reader }

// UnknownError is the answer of a shadow to a question that only a real run can
// answer. A task that meets one is deferred, not failed.
type UnknownError struct {
	What    string // what was asked for: "content of /etc/foo"
	Because string // why it cannot be known: "package foo would be installed"
	// Type is set for a file of which nothing else is known: what an unmount
	// leaves is a directory.
	Type FileType
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s is not known in check mode: %s", e.What, e.Because)
}

// Unknown reports whether err says that check mode cannot know, and why.
func Unknown(err error) (*UnknownError, bool) {
	return errors.AsType[*UnknownError](err)
}

// Content is the content of a file on its way to a host. Open may be called more
// than once; what it yields has exactly Size bytes and the digest SHA256 (hex),
// or reading ends in an error. SHA256 is "" for content that was not hashed
// beforehand: a large file that is copied from one path of the host to another.
type Content interface {
	Open(ctx context.Context) (io.ReadCloser, error)
	Size() int64
	SHA256() string
}

// Summed is what a Content may be as well. Sums are the SHA-1, in hex, or "", and the
// CRC-32C, or 0, of the content that has the digest SHA256: whoever hashed it took them
// in the same go. With a CRC, that is what tells whether what is read is the same still.
type Summed interface {
	Sums() (sha1 string, crc32c uint32)
}

// Castagnoli is the table of CRC-32C, which processors have an instruction for.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SelfChecking is what Content.Open may yield: it hashes what it reads to hold it
// against the content's digest. Who checks the content too reads from Unchecked
// instead, so that a large content is not hashed twice; what is to be closed stays the
// SelfChecking.
type SelfChecking interface{ Unchecked() io.Reader }

// FileType is the type of a file, by the names that Ansible's stat uses.
type FileType string

// The file types.
const (
	Regular     FileType = "file"
	Directory   FileType = "directory"
	Symlink     FileType = "link"
	Fifo        FileType = "fifo"
	Socket      FileType = "socket"
	CharDevice  FileType = "char"
	BlockDevice FileType = "block"
)

// FileInfo is what lstat(2) or stat(2) tell of a file.
type FileInfo struct {
	Type       FileType
	Mode       uint32 // permission bits with setuid, setgid and sticky: 0o0000 to 0o7777
	UID, GID   int
	Size       int64 // bytes; of a symlink the length of its target
	Blocks     int64 // 512-byte blocks really used; less than Size/512 for a sparse file
	BlockSize  int64 // best for reading and writing; 0 in a shadow for what it created
	ModTime    time.Time
	AccessTime time.Time
	ChangeTime time.Time // zero in a shadow for what it changed
	Links      uint64    // hard links
	Inode, Dev uint64    // equal for two names of one file; made up in a shadow for what it created
	Rdev       uint64    // of a device
}

// FileReader looks at files. Paths are absolute and may hold any byte but NUL.
type FileReader interface {
	Lstat(ctx context.Context, path string) (FileInfo, error)
	Stat(ctx context.Context, path string) (FileInfo, error) // follows links
	Open(ctx context.Context, path string) (io.ReadCloser, error)
	Readlink(ctx context.Context, path string) (string, error)
	ReadDir(ctx context.Context, path string) ([]string, error) // names, sorted by byte
	Xattrs(ctx context.Context, path string) (map[string][]byte, error)
	Space(ctx context.Context, path string) (Space, error)
	// Content stands for the content that the regular file at path has now, without
	// reading it. Later writes through this host do not change what it yields: the
	// real host reports a file that has changed since as an error, a shadow keeps
	// to the layer in which it found the file. SHA256 is "".
	Content(ctx context.Context, path string) (Content, error)
}

// Space is the room on the file system of a path, for an unprivileged user.
type Space struct {
	Free, Total        uint64 // bytes
	FreeInodes, Inodes uint64
	Block              uint64 // bytes in which the file system counts
}

// Attributes of a file. A nil field means: as the old file has it, or the
// system's default for a new one. A file that is written is new as to its times.
type Attributes struct {
	Mode                *uint32
	UID, GID            *int
	ModTime, AccessTime *time.Time
}

// FileWriter changes files.
type FileWriter interface {
	// Write puts a regular file in place whole: a temporary file in the same
	// folder, its attributes set before the name appears, fsync, rename, fsync
	// of the folder. Extended attributes (ACLs, SELinux label) of an old file
	// are kept. Symlinks are not followed: resolve the path first.
	Write(ctx context.Context, path string, content Content, attributes Attributes) error
	// WriteCopy is Write for one file of a tree of many: it spares the fsyncs, so
	// its work is durable only after Sync, and with sparse it leaves holes where
	// the content has blocks of zeros.
	WriteCopy(ctx context.Context, path string, content Content, attributes Attributes, sparse bool) error
	// Sync makes all that was written to the file system of path durable, syncfs(2).
	Sync(ctx context.Context, path string) error
	Mkdir(ctx context.Context, path string, attributes Attributes) error // one level
	Symlink(ctx context.Context, target, path string) error              // replaces a link or file at path atomically
	Link(ctx context.Context, existing, path string) error               // hard link; replaces likewise
	Mknod(ctx context.Context, path string, info FileInfo) error         // fifo, socket or device
	Rename(ctx context.Context, from, to string) error                   // rename(2): within one file system
	Remove(ctx context.Context, path string) error                       // one file, link or empty directory
	RemoveAll(ctx context.Context, path string) error                    // never crosses a mount point
	SetAttributes(ctx context.Context, path string, a Attributes) error  // does not follow links; Mode of a link is ignored
	SetXattr(ctx context.Context, path, name string, value []byte) error // nil removes
}

// Package is what is installed of one name.
type Package struct {
	Name      string
	Installed string // version, "" when not installed
	Held      bool
}

// PackageRequest is one wish. Version "" with State Present takes what is there
// or else the newest that could be installed.
type PackageRequest struct {
	Name, Version string
	State         PackageState
}

// PackageState is what a request wants.
type PackageState string

// The states of a PackageRequest.
const (
	PackagePresent PackageState = "present"
	PackageLatest  PackageState = "latest"
	PackageAbsent  PackageState = "absent"
)

// PackageChange is one package of a transaction; From or To is "" for absent.
type PackageChange struct{ Name, From, To string }

// PackageReader asks the package manager. Locks held by others are waited for.
type PackageReader interface {
	Manager(ctx context.Context) (string, error) // "apt", "dnf" or "yum"
	Query(ctx context.Context, names ...string) (map[string]Package, error)
	// Resolve says exactly what Apply would do with the same arguments,
	// dependencies included, sorted by name; nothing to do is an empty list. It
	// simulates and changes nothing. A name or version that nobody offers is an
	// error for which errors.Is(err, fs.ErrNotExist) holds.
	Resolve(ctx context.Context, requests []PackageRequest, options PackageOptions) ([]PackageChange, error)
}

// PackageOptions are wishes about how a transaction is done.
type PackageOptions struct {
	// UnitsDisabled leaves the units of newly installed packages stopped and
	// disabled, whatever the package's scripts would do.
	UnitsDisabled                   bool
	AllowDowngrade, AllowChangeHeld bool
	Purge                           bool
	PackageSelection
}

// PackageSelection are the options that decide what else a transaction takes along
// or where it takes it from. A shadow foretells only transactions that have the same.
type PackageSelection struct {
	Upgrade    PackageUpgrade // besides the requests, everything that is installed (apt)
	AutoRemove bool           // also what came along once and nothing needs any more (apt)
	Recommends string         // "yes" or "no": whether recommended packages come along; "" as configured (apt)
	Release    string         // which release candidates come from; "" as configured (apt)
	Enable     string         // repositories besides the enabled ones, with commas between (dnf, yum)
	Disable    string         // repositories that do not count, likewise
}

// PackageUpgrade says how far an upgrade of everything may go.
type PackageUpgrade string

// The upgrades: with new packages but without removals, and with both.
const (
	UpgradeSafe PackageUpgrade = "safe"
	UpgradeFull PackageUpgrade = "full"
)

// PackageWriter changes packages.
type PackageWriter interface {
	Apply(ctx context.Context, requests []PackageRequest, options PackageOptions) error
	UpdateCache(ctx context.Context) error
}

// Unit is the state of a systemd unit, in systemd's own words.
type Unit struct {
	Name        string
	Load        string // loaded, not-found, masked, error, …
	Active      string // active, reloading, inactive, failed, activating, deactivating
	Sub         string
	File        string // enabled, disabled, static, masked, …; "" without a unit file
	NeedReload  bool   // the unit file is newer than what systemd has loaded
	Description string
	MainPID     uint32
	Oneshot     bool // a service that does its work and ends: it never stays active
}

// UnitReader asks systemd over D-Bus.
type UnitReader interface {
	// Get never fails for a unit that does not exist: its Load is "not-found".
	Get(ctx context.Context, name string) (Unit, error)
}

// UnitWriter changes units. Start, Stop, Restart and Reload return when systemd's
// job has ended; a failed job is an error with the unit's last log lines.
type UnitWriter interface {
	Start(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
	Restart(ctx context.Context, name string) error
	Reload(ctx context.Context, name string) error
	Enable(ctx context.Context, name string) error
	Disable(ctx context.Context, name string) error
	Mask(ctx context.Context, name string) error
	Unmask(ctx context.Context, name string) error
	DaemonReload(ctx context.Context) error
}

// Mount is one line of the mount table.
type Mount struct {
	Source, Target, Type string
	Options              string // comma separated, as given to mount(8) or read from mountinfo
}

// MountReader reads the mount table. It never touches the mounted file systems,
// so a dead one cannot hang it.
type MountReader interface {
	List(ctx context.Context) ([]Mount, error) // in mount order; a later one at the same target hides the earlier
}

// MountWriter mounts and unmounts through mount(8) and umount(8), for their helpers.
type MountWriter interface {
	Mount(ctx context.Context, m Mount) error
	Unmount(ctx context.Context, target string) error // the topmost at target
}

// User is an entry of the user database.
type User struct {
	Name, Home, Shell string
	UID, GID          int
}

// Group is an entry of the group database.
type Group struct {
	Name string
	GID  int
}

// Account is a user of the host's own files, with what only those files say.
type Account struct {
	User
	Comment  string
	Password string // the hash as in /etc/shadow, with "!" before it when locked; a secret
	Expires  int    // days since 1970-01-01 after which it is closed; -1 for never
	// MaxAge and MinAge are the most and fewest days between changes of the
	// password; -1 when not set.
	MaxAge, MinAge int
}

// LocalGroup is a group of the host's own files with those that it lists as members.
type LocalGroup struct {
	Group
	Members []string
}

// Accounts are the host's own users and groups, in the order of the files.
type Accounts struct {
	Users  []Account
	Groups []LocalGroup
}

// NewAccount is how a user is made, besides what the account says.
type NewAccount struct {
	Account
	Groups     []string // further groups
	CreateHome bool     // make the home directory when it is not there, from Skeleton
	Skeleton   string   // "" for /etc/skel
	System     bool
	NonUnique  bool // the UID may be another's already
}

// AccountChange is what becomes of a user; a nil field stays.
type AccountChange struct {
	UID, GID, Expires, MaxAge, MinAge *int
	Comment, Home, Shell              *string
	Groups                            *[]string // all further groups
	Password                          *string   // the hash
	MoveHome, NonUnique               bool
}

// UserReader asks the user and group databases (getent, so NSS counts).
type UserReader interface {
	User(ctx context.Context, name string) (User, error)
	UserByID(ctx context.Context, uid int) (User, error)
	Group(ctx context.Context, name string) (Group, error)
	GroupByID(ctx context.Context, gid int) (Group, error)
	// Accounts reads the host's own files, which is what UserWriter changes. The
	// hashes of passwords are there for root only; for others it is an error.
	Accounts(ctx context.Context) (Accounts, error)
}

// UserWriter changes the host's own users and groups through the programs of the
// system (useradd and the like), so that their locks and hooks count. No password
// reaches a command line.
type UserWriter interface {
	// AddUser makes a user whose UID and primary group are given; no group is made.
	AddUser(ctx context.Context, account NewAccount) error
	// MakeHome makes the home of a user that is there, from a skeleton ("" for
	// /etc/skel). A home that is there stays as it is.
	MakeHome(ctx context.Context, user User, skeleton string) error
	ChangeUser(ctx context.Context, name string, to AccountChange) error
	// RemoveUser takes a user away, with home and mail when home is set. With force
	// that is done while the user has processes, and to a home that is another's.
	RemoveUser(ctx context.Context, name string, home, force bool) error
	AddGroup(ctx context.Context, group Group, system, nonUnique bool) error
	ChangeGroup(ctx context.Context, name string, gid int, nonUnique bool) error
	RemoveGroup(ctx context.Context, name string) error
}

// ResourceReader reads state that has no interface of its own here: a gluster
// volume, a compose project, a row of a table.
type ResourceReader interface {
	// Look returns what look finds, or what the shadow was told it would be. A
	// key always stands for the same kind of thing and the same Go type.
	Look(ctx context.Context, key string, look func(ctx context.Context) (any, error)) (any, error)
}

// ResourceWriter changes such state.
type ResourceWriter interface {
	// Make brings about the state after by calling do. A shadow does not call do;
	// it remembers after as the state of key.
	Make(ctx context.Context, key string, after any, do func(ctx context.Context) error) error
}

// Look is Reader.Resources().Look with the type of the state.
func Look[T any](ctx context.Context, host Reader, key string, look func(ctx context.Context) (T, error)) (T, error) {
	state, err := host.Resources().Look(ctx, key, func(ctx context.Context) (any, error) { return look(ctx) })
	if err != nil {
		var zero T
		return zero, err
	}
	typed, ok := state.(T)
	if !ok {
		return typed, fmt.Errorf("resource %s: is a %T where a %T was expected", key, state, typed)
	}
	return typed, nil
}

// NetworkReader talks to services. In a shadow that would have changed what runs
// on the host (units, packages, resources, commands) Dial is unknown.
type NetworkReader interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	LookupHost(ctx context.Context, name string) ([]string, error)
	// Multicast opens a socket on one interface for the packets of an IP protocol
	// that are sent to group. What is written to it goes out there. The caller closes
	// it; ctx ends only the opening. A shadow really listens.
	Multicast(ctx context.Context, protocol int, group net.IP, interfaceName string) (net.PacketConn, error)
}

// Process is a running process.
type Process struct {
	PID  int
	Name string
}

// ProcessReader looks at processes. A shadow shows those that run now, since it
// neither starts nor stops any.
type ProcessReader interface {
	// Using lists the processes that hold path or something below it, in
	// containers too.
	Using(ctx context.Context, path string) ([]Process, error)
}

// Command is a program to run. Args[0] is looked up in PATH; no shell is involved.
type Command struct {
	Args    []string
	Expand  bool // replace $NAME, ${NAME} and a leading ~ in Args, by the program's own environment
	Dir     string
	Env     []string // additions, KEY=value
	Stdin   io.Reader
	Files   []Content                        // offered as /proc/self/fd/3, 4, … to the program: for input that must not touch the disk
	Creates []string                         // paths that the program is known to bring: after Run they are unknown in a shadow
	Output  func(stream string, line []byte) // if set, called for each line ("stdout" or "stderr") as it comes, not concurrently
	Limit   int64                            // most bytes kept of each stream; 0 means 64 MiB; more is an error
	Timeout time.Duration                    // 0: only ctx ends it
}

// Result is how a command ended. A signal is Code 128+n, as in a shell.
type Result struct {
	Stdout, Stderr []byte
	Code           int
	Start, End     time.Time
}

// System describes a machine.
type System struct {
	Hostname, FQDN, Kernel, Architecture, MachineID string // Architecture as uname -m
	OS                                              OSRelease
	Interfaces                                      []Interface
	DefaultIPv4                                     string // address used towards the default route, "" without one
	DefaultInterface                                string
	CPUs                                            int
	MemoryBytes                                     uint64
	UID                                             int // who the agent runs as
}

// OSRelease is /etc/os-release, and the family as Ansible names it.
type OSRelease struct {
	ID, VersionID, Name, PrettyName, Codename string
	IDLike                                    []string
	Family                                    string // Debian, RedHat, Suse, Alpine, Archlinux, or ""
}

// Interface is a network interface with its addresses in CIDR form.
type Interface struct {
	Name, MAC string
	MTU       int
	Up        bool
	Addresses []string
}
