package sys

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// archiveReader is a package manager that can say what a package would bring.
type archiveReader interface {
	// brought lists the files that the packages would bring. known is false when that
	// cannot be told in full: an archive is not on this machine, which a check does
	// not fetch, or the package runs scripts, which may bring anything.
	brought(ctx context.Context, changes []PackageChange) (paths []string, known bool, err error)
}

// filesBrought lists what new packages would bring; the shadow asks for it.
func (p *realPackages) filesBrought(ctx context.Context, changes []PackageChange) (paths []string, known bool, err error) {
	if err := p.enter(ctx); err != nil {
		return nil, false, err
	}
	defer p.leave()
	reader, able := p.manager.(archiveReader)
	if !able {
		return nil, false, nil
	}
	return reader.brought(ctx, changes)
}

const aptArchives = "/var/cache/apt/archives"

// scriptsOfDeb are those of a package's scripts that run when it is installed. The
// triggers of other packages refresh caches, which are there already.
var scriptsOfDeb = []string{"preinst", "postinst", "config"}

func (a *apt) brought(ctx context.Context, changes []PackageChange) (paths []string, known bool, err error) {
	for _, c := range changes {
		archive, err := a.archiveOf(ctx, c)
		if err != nil || archive == "" {
			return nil, false, err
		}
		scripted, err := a.hasScripts(ctx, archive)
		if err != nil || scripted {
			return nil, false, err
		}
		r, err := a.probe(ctx, "dpkg-deb", "--contents", archive)
		if err != nil {
			return nil, false, err
		}
		if r.Code != 0 {
			return nil, false, fmt.Errorf("dpkg-deb: %s", said(r))
		}
		files, err := parseContents(string(r.Stdout))
		if err != nil {
			return nil, false, err
		}
		paths = append(paths, files...)
	}
	return paths, true, nil
}

// archiveOf finds the archive of a package where it is on this machine: in a
// repository of files, or fetched before. It is "" when it is not.
func (a *apt) archiveOf(ctx context.Context, c PackageChange) (string, error) {
	r, err := a.probe(ctx, slices.Concat([]string{"apt-get", "-q"}, a.readOnly(), []string{"--print-uris", "download", "--", c.Name + "=" + c.To})...)
	if err != nil || r.Code != 0 {
		return "", err // apt has no such archive to fetch: it is not known what comes
	}
	address, name, size, ok := parseURI(string(r.Stdout))
	if !ok {
		return "", nil
	}
	for _, at := range []string{localPath(address), path.Join(aptArchives, name)} {
		info, err := os.Stat(at)
		if err == nil && info.Mode().IsRegular() && info.Size() == size {
			return at, nil
		}
	}
	return "", nil
}

// parseURI reads the line of apt-get --print-uris: 'address' name size hash.
func parseURI(text string) (address, name string, size int64, ok bool) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || !strings.HasPrefix(f[0], "'") {
			continue
		}
		size, err := strconv.ParseInt(f[2], 10, 64)
		return strings.Trim(f[0], "'"), path.Base(f[1]), size, err == nil
	}
	return "", "", 0, false
}

// localPath is the path of a file: or copy: address.
func localPath(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "file" && u.Scheme != "copy" {
		return ""
	}
	return u.Path
}

func (a *apt) hasScripts(ctx context.Context, archive string) (bool, error) {
	r, err := a.probe(ctx, "dpkg-deb", "--ctrl-tarfile", archive)
	if err != nil {
		return false, err
	}
	if r.Code != 0 {
		return false, fmt.Errorf("dpkg-deb: %s", said(r))
	}
	reader := tar.NewReader(bytes.NewReader(r.Stdout))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading the control files of %s: %w", archive, err)
		}
		if slices.Contains(scriptsOfDeb, path.Base(header.Name)) {
			return true, nil
		}
	}
}

// parseContents reads dpkg-deb --contents: mode, owner, size, date, time, name. Folders
// are left out that something else lies in, since others may have files there too.
func parseContents(text string) ([]string, error) {
	var files, folders []string
	for line := range strings.Lines(text) {
		rest := strings.TrimSuffix(line, "\n")
		for range 5 {
			_, after, ok := strings.Cut(strings.TrimLeft(rest, " "), " ")
			if !ok {
				return nil, fmt.Errorf("dpkg-deb: a line that is not understood: %q", line)
			}
			rest = after
		}
		name, _, _ := strings.Cut(rest, " -> ")
		name, _, _ = strings.Cut(name, " link to ")
		clean := path.Join("/", name)
		if line[0] == 'd' {
			folders = append(folders, clean)
		} else {
			files = append(files, clean)
		}
	}
	for i, folder := range folders {
		below := func(p string) bool { return p != folder && isWithin(p, folder) }
		if !slices.ContainsFunc(files, below) && !slices.ContainsFunc(folders[i+1:], below) {
			files = append(files, folder)
		}
	}
	return files, nil
}
