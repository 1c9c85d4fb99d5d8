package modules

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// compose takes half a second of Python to hash a project whose files nobody has
// touched since the task before. What it makes of them is the same again if all that
// it is made of is: the files, where they name no others; .env beside them; the
// images, whose ids compose 1 puts into its hashes; the program; how it is called.

// composeReachesOut finds what makes a project depend on more than its own files: on
// other files, on variables, on other containers.
var composeReachesOut = regexp.MustCompile(`[$~]|(^|[^-\w])(\w*_file|file|extends|include|build|volumes_from|container|service)["']?\s*:`)

// mostInputs is the size of files that are read for it.
const mostInputs = 1 << 20

// inputs names all that the project's hashes are made of; "" when that cannot be
// told, or nothing remembers.
func (p *composeProject) inputs(ctx context.Context, host sys.Reader) (string, error) {
	if !sys.Remembers(ctx) || len(sys.Environment(ctx)) > 0 {
		return "", nil
	}
	program, err := p.programIdentity(ctx, host)
	if err != nil || program == "" {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %q\n", program, p.folder, p.name, p.files)
	for i, file := range append(slices.Clip(p.files), path.Join(p.folder, ".env")) {
		text, there, err := readWhole(ctx, host, file)
		if err != nil {
			return "", err
		}
		own := i < len(p.files)
		if own && !there || len(text) > mostInputs || own && composeReachesOut.Match(text) {
			return "", nil
		}
		fmt.Fprintf(sum, "%t %d\n", there, len(text))
		sum.Write(text)
	}
	images, err := askDocker(ctx, host, "images", "-a", "--no-trunc", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}")
	if err != nil {
		return "", err
	}
	// docker sorts by age only; images of the same age come in any order.
	for _, image := range slices.Sorted(strings.Lines(string(images))) {
		fmt.Fprint(sum, image)
	}
	return "compose hashes " + hex.EncodeToString(sum.Sum(nil)), nil
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

// programIdentity is the file that docker-compose is, in the folders that are
// searched as a rule; "" when it is none of them or the task names another program.
func (p *composeProject) programIdentity(ctx context.Context, host sys.Reader) (string, error) {
	if len(p.program) > 0 && !p.supplied {
		return "", nil
	}
	for _, folder := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"} {
		file := path.Join(folder, "docker-compose")
		info, err := host.Files().Stat(ctx, file)
		there, err := present(err)
		if err != nil {
			return "", err
		}
		if there {
			return fmt.Sprint(file, info.Dev, info.Inode, info.Size, info.ModTime.UnixNano(), info.ChangeTime.UnixNano()), nil
		}
	}
	return "", nil
}
