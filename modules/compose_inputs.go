package modules

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// compose takes half a second of Python to hash a project whose files nobody has
// touched since the task, or the run, before. What it makes of them is the same again
// if all that it is made of is: the files, where they name no others; .env beside
// them; the images, whose ids compose 1 puts into its hashes; the program with what it
// imports, its settings and its environment; how it is called.

// composeReachesOut finds what makes a project depend on more than its own files: on
// other files, on variables, on other containers.
var composeReachesOut = lazy.Regexp(`[$~]|(^|[^-\w])(\w*_file|file|extends|include|build|volumes_from|container|service)["']?\s*:`)

// mostInputs is the size of files that are read for it.
const mostInputs = 1 << 20

// composeInputs is all that the hashes of a project are made of.
type composeInputs struct {
	key     string // "" when it cannot be told, or nothing remembers
	lasting bool   // the key also holds for another run
}

func (p *composeProject) inputs(ctx context.Context, host sys.Reader) (composeInputs, error) {
	if !sys.Remembers(ctx) || len(sys.Environment(ctx)) > 0 || len(p.program) > 0 && !p.supplied {
		return composeInputs{}, nil
	}
	sum := sha256.New()
	found, lasting, err := sumProgram(ctx, host, sum)
	if err != nil || !found {
		return composeInputs{}, err
	}
	fmt.Fprintf(sum, "%q %q %q\n", p.folder, p.name, p.files)
	for i, file := range append(slices.Clip(p.files), path.Join(p.folder, ".env")) {
		text, there, err := readWhole(ctx, host, file)
		if err != nil {
			return composeInputs{}, err
		}
		own := i < len(p.files)
		if own && !there || len(text) > mostInputs || own && composeReachesOut().Match(text) {
			return composeInputs{}, nil
		}
		fmt.Fprintf(sum, "%t %d\n", there, len(text))
		sum.Write(text)
	}
	images, err := imagesOf(ctx, host)
	if err != nil {
		return composeInputs{}, err
	}
	for _, image := range images {
		fmt.Fprint(sum, image)
	}
	return composeInputs{"compose hashes " + hex.EncodeToString(sum.Sum(nil)), lasting}, nil
}

// readWhole reads a file that may be absent, up to a little more than mostInputs.
func readWhole(ctx context.Context, host sys.Reader, file string) (text []byte, there bool, err error) {
	r, err := host.Files().Open(ctx, file)
	if there, err = present(err); !there {
		return nil, false, err
	}
	defer r.Close() //nolint:errcheck // only read from
	text, err = io.ReadAll(io.LimitReader(r, mostInputs+1))
	return text, true, err
}

// sumProgram adds what docker-compose is, and what it finds about it. found is false
// where it is in no folder that programs are looked for in. lasting says that nothing
// is left out that may differ in another run: a program that is a script is known by
// what it imports only where that lies in the usual places.
func sumProgram(ctx context.Context, host sys.Reader, sum hash.Hash) (found, lasting bool, err error) {
	environment := composeEnvironment(ctx)
	program, err := programAmong(ctx, host, environment["PATH"])
	if err != nil || program == "" {
		return false, false, err
	}
	head, _, err := readWhole(ctx, host, program)
	if err != nil {
		return false, false, err
	}
	files := []string{program, path.Join("/", environment["HOME"], ".docker/config.json")}
	interpreter := pythonOf(head)
	if interpreter != "" {
		imports, err := pythonFiles(ctx, host, environment["HOME"])
		if err != nil {
			return false, false, err
		}
		files = append(append(files, interpreter), imports...)
	}
	for _, file := range files {
		if err := sumIdentity(ctx, host, sum, file); err != nil {
			return false, false, err
		}
	}
	fmt.Fprintf(sum, "%q\n", environment) // a map is printed in the order of its keys
	return true, interpreter != "" || bytes.HasPrefix(head, []byte("\x7fELF")), nil
}

// ofTheSession are variables that differ with each connection and mean nothing to a
// program that only reads files.
var ofTheSession = []string{
	"_", "PWD", "OLDPWD", "SHLVL", "TERM", "MAIL", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "SSH_AUTH_SOCK",
	"XDG_SESSION_ID", "XDG_SESSION_TYPE", "XDG_SESSION_CLASS", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "MOTD_SHOWN",
	"SUDO_COMMAND", "SUDO_USER", "SUDO_UID", "SUDO_GID",
}

// composeEnvironment is what compose finds as its environment.
func composeEnvironment(ctx context.Context) map[string]string {
	all := map[string]string{}
	for _, variable := range sys.ProgramEnvironment(ctx) {
		name, value, _ := strings.Cut(variable, "=")
		if !slices.Contains(ofTheSession, name) {
			all[name] = value
		}
	}
	return all
}

// programAmong is the docker-compose that a call finds, "" when there is none.
func programAmong(ctx context.Context, host sys.Reader, folders string) (string, error) {
	for folder := range strings.SplitSeq(folders, ":") {
		if !path.IsAbs(folder) {
			continue
		}
		file := path.Join(folder, "docker-compose")
		info, err := host.Files().Stat(ctx, file)
		there, err := present(err)
		if err != nil {
			return "", err
		}
		if there && info.Type == sys.Regular && info.Mode&0o111 != 0 {
			return file, nil
		}
	}
	return "", nil
}

var pythonScript = lazy.Regexp(`^#! *(/usr/(?:local/)?bin/python[23]?(?:[.]\d+)?)[ \n]`)

// pythonOf is the interpreter of a script in Python, "" for anything else and for a
// Python that brings its own modules.
func pythonOf(script []byte) string {
	if found := pythonScript().FindSubmatch(script[:min(len(script), 128)]); found != nil {
		return string(found[1])
	}
	return ""
}

// pythonFiles are those whose identity changes with whatever a Python program of the
// system may import: the databases of packages, and the folders that pip changes.
func pythonFiles(ctx context.Context, host sys.Reader, home string) ([]string, error) {
	files := []string{
		"/var/lib/dpkg/status", "/var/lib/rpm/Packages", "/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite",
	}
	for _, folder := range []string{"/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", path.Join("/", home, ".local/lib")} {
		names, err := host.Files().ReadDir(ctx, folder)
		if _, err := present(err); err != nil {
			return nil, err
		}
		for _, name := range names {
			if strings.HasPrefix(name, "python") {
				files = append(files, path.Join(folder, name, "dist-packages"), path.Join(folder, name, "site-packages"))
			}
		}
	}
	return files, nil
}

// sumIdentity adds which file is at a path, and when it was changed last.
func sumIdentity(ctx context.Context, host sys.Reader, sum hash.Hash, file string) error {
	info, err := host.Files().Stat(ctx, file)
	there, err := present(err)
	if err != nil || !there {
		return err
	}
	fmt.Fprintf(sum, "%q %d %d %d %d %d\n", file, info.Dev, info.Inode, info.Size, info.ModTime.UnixNano(), info.ChangeTime.UnixNano())
	return nil
}
