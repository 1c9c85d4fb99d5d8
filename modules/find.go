package modules

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// FindArgs are the arguments of find.
type FindArgs struct {
	Paths         []string `arg:"paths,required" alias:"path,name" doc:"The directories to search, absolute."`
	Patterns      []string `arg:"patterns" alias:"pattern" doc:"Patterns (* ? [..] [!..]) of which a name, without its folder, must match one; all names when not given."`
	Excludes      []string `arg:"excludes" alias:"exclude" doc:"Patterns of names to leave out."`
	UseRegex      bool     `arg:"use_regex" default:"no" doc:"patterns and excludes are regular expressions, which match from the beginning of the name; end one with $ for the whole name."`
	Contains      string   `arg:"contains" doc:"A regular expression that must match at the beginning of a line of the file; for files only."`
	ReadWholeFile bool     `arg:"read_whole_file" default:"no" doc:"contains may match anywhere, across lines too."`
	FileType      string   `arg:"file_type" default:"file" choices:"any,directory,file,link" doc:"What to look for."`
	Recurse       bool     `arg:"recurse" default:"no" doc:"Search below the directories too."`
	Depth         int      `arg:"depth" doc:"How many levels to search with recurse; all when not given."`
	Age           string   `arg:"age" doc:"At least so old, as in 3600, 90m, 2d, 1w; with a minus at most so old."`
	AgeStamp      string   `arg:"age_stamp" default:"mtime" choices:"atime,ctime,mtime" doc:"Which time age is about."`
	Size          string   `arg:"size" doc:"At least so large, as in 512, 10k, 1g; with a minus at most so large. Not for directories."`
	Hidden        bool     `arg:"hidden" default:"no" doc:"Find names that begin with a dot too. Hidden directories are searched anyway."`
	Follow        bool     `arg:"follow" default:"no" doc:"Search below links to directories."`
	GetChecksum   bool     `arg:"get_checksum" default:"no" doc:"Read each regular file for its SHA-1."`
}

func findSpec() Spec {
	return Spec{
		Name:    "find",
		Summary: "List files by name, age, size or content",
		Place:   OnHost,
		New:     func() Module { return &FindArgs{} },
		Notes: []string{
			"What cannot be looked at is an error, unlike in Ansible, which leaves it out. Only a path that is no directory is named in skipped_paths.",
			pythonRegexpNote,
		},
		Returns: []Return{
			{Name: "files", Type: "list", Doc: "For each file path and the keys of stat; checksum with get_checksum. Folders come before what is in them, names in byte order."},
			{Name: "matched", Type: "int", Doc: "How many were found."},
			{Name: "examined", Type: "int", Doc: "How many were looked at."},
			{Name: "skipped_paths", Type: "dict", Doc: "Paths that are no directory, with the reason."},
			{Name: "msg", Type: "string", Doc: "All paths examined, or that some were skipped."},
		},
		Examples: []Example{
			{"Logs that nobody reads any more", `
find:
  paths: /opt/rainbond/logs
  patterns: ['*.log', '*.log.[0-9]*']
  age: 4w
  size: 1m
  recurse: yes
register: old_logs`},
			{"Units that mention a port", `
find:
  paths: /etc/systemd/system
  contains: '.*:6443\b'`},
		},
	}
}

// finder is the arguments with everything in them read.
type finder struct {
	args               *FindArgs
	patterns, excludes []*regexp.Regexp
	contains           *regexp.Regexp
	age, size          limit
	now                time.Time
	files              []any
	examined           int
	skipped            map[string]any
}

// limit is at least, or with most at most, a number.
type limit struct {
	given, most bool
	n           int64
}

func (l limit) holds(n int64) bool {
	switch {
	case !l.given:
		return true
	case l.most:
		return n <= l.n
	}
	return n >= l.n
}

var (
	ageUnits  = map[string]int64{"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
	sizeUnits = map[string]int64{"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
)

func parseLimit(name, text string, units map[string]int64) (limit, error) {
	if text == "" {
		return limit{}, nil
	}
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit, known := units[strings.ToLower(text[len(digits):])]
	n, err := strconv.ParseInt(strings.TrimPrefix(digits, "-"), 10, 64)
	if err != nil || !known || n < 0 || n > math.MaxInt64/unit {
		return limit{}, fmt.Errorf("%s: %q is no number with a unit", name, text)
	}
	return limit{given: true, most: digits[0] == '-', n: n * unit}, nil
}

// Validate reads the patterns and limits, so that a fault shows early.
func (a *FindArgs) Validate() error {
	_, err := a.finder()
	return err
}

func (a *FindArgs) finder() (f *finder, err error) {
	f = &finder{args: a, skipped: map[string]any{}, files: []any{}}
	for _, p := range a.Paths {
		if !path.IsAbs(p) {
			return nil, fmt.Errorf("paths: %q is not an absolute path", p)
		}
	}
	switch {
	case a.Contains != "" && a.FileType != "file":
		return nil, errors.New("contains goes with file_type: file")
	case a.Depth < 0:
		return nil, errors.New("depth: wants 0 or more")
	}
	if f.patterns, err = a.names("patterns", a.Patterns); err != nil {
		return nil, err
	}
	if f.excludes, err = a.names("excludes", a.Excludes); err != nil {
		return nil, err
	}
	if a.Contains != "" {
		anchored := a.Contains
		if !a.ReadWholeFile {
			anchored = `\A(?:` + anchored + `)`
		}
		if f.contains, err = compilePython(anchored, ""); err != nil {
			return nil, fmt.Errorf("contains: %w", err)
		}
	}
	if f.age, err = parseLimit("age", a.Age, ageUnits); err != nil {
		return nil, err
	}
	f.size, err = parseLimit("size", a.Size, sizeUnits)
	return f, err
}

// names compiles patterns: of a shell for whole names, expressions for their beginning.
func (a *FindArgs) names(option string, patterns []string) ([]*regexp.Regexp, error) {
	var all []*regexp.Regexp
	for _, p := range patterns {
		if p == "" {
			continue
		}
		re, err := compilePython(`\A(?:`+p+`)`, "s")
		if !a.UseRegex {
			re, err = nameGlob(p)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", option, p, err)
		}
		all = append(all, re)
	}
	return all, nil
}

// nameGlob compiles a shell pattern, in which a backslash is a plain character as
// in Python's fnmatch.
func nameGlob(pattern string) (*regexp.Regexp, error) {
	expression, err := globExpression(strings.ReplaceAll(pattern, `\`, `\\`))
	if err != nil {
		return nil, err
	}
	return regexp.Compile(`(?s)\A(?:` + expression + `)\z`)
}

// Plan looks; there is nothing to do.
func (a *FindArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	f, err := a.finder()
	if err != nil {
		return Plan{}, err
	}
	f.now = time.Now()
	for _, p := range a.Paths {
		if err := f.search(ctx, host, path.Clean(p)); err != nil {
			return Plan{}, err
		}
	}
	message := "All paths examined"
	if len(f.skipped) > 0 {
		message = "Not all paths examined, check warnings for details"
	}
	return Plan{Result: Result{
		"files": f.files, "matched": len(f.files), "examined": f.examined, "skipped_paths": f.skipped, "msg": message,
	}}, nil
}

func (f *finder) search(ctx context.Context, host sys.Reader, root string) error {
	at, err := host.Files().Stat(ctx, root)
	if there, err := present(err); err != nil {
		return fmt.Errorf("looking at %s: %w", root, err)
	} else if !there || at.Type != sys.Directory {
		f.skipped[root] = fmt.Sprintf("'%s' is not a directory", root)
		return nil
	}
	return f.below(ctx, host, root, 1, []sys.FileInfo{at})
}

// below looks at what is in folder; above are the directories on the way, so that
// links that lead back are not followed round and round.
func (f *finder) below(ctx context.Context, host sys.Reader, folder string, level int, above []sys.FileInfo) error {
	names, err := host.Files().ReadDir(ctx, folder)
	if err != nil {
		return fmt.Errorf("reading the directory %s: %w", folder, err)
	}
	for _, name := range names {
		p := path.Join(folder, name)
		info, err := host.Files().Lstat(ctx, p)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just gone
		}
		if err != nil {
			return fmt.Errorf("looking at %s: %w", p, err)
		}
		f.examined++
		if err := f.consider(ctx, host, p, info); err != nil {
			return err
		}
		if !f.args.Recurse || f.args.Depth > 0 && level >= f.args.Depth {
			continue
		}
		if err := f.descend(ctx, host, p, info, level, above); err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) descend(ctx context.Context, host sys.Reader, p string, info sys.FileInfo, level int, above []sys.FileInfo) error {
	if info.Type == sys.Symlink && f.args.Follow {
		leads, err := host.Files().Stat(ctx, p)
		if there, err := present(err); !there || err != nil {
			return err // it leads nowhere
		}
		for _, a := range above {
			if a.Dev == leads.Dev && a.Inode == leads.Inode {
				return nil
			}
		}
		info = leads
	}
	if info.Type != sys.Directory {
		return nil
	}
	return f.below(ctx, host, p, level+1, append(slices.Clip(above), info))
}

// consider lists a file that has all that is asked for.
func (f *finder) consider(ctx context.Context, host sys.Reader, p string, info sys.FileInfo) error {
	if !f.fits(path.Base(p), info) {
		return nil
	}
	if f.age.given {
		stamp, err := f.stamp(p, info)
		if err != nil || !f.age.holds(int64(f.now.Sub(stamp).Seconds())) {
			return err
		}
	}
	if f.contains != nil {
		found, err := f.matchesContent(ctx, host, p)
		if err != nil || !found {
			return err
		}
	}
	keys := statKeys(p, info)
	delete(keys, "exists")
	var err error
	if keys["pw_name"], err = ownerName(ctx, host, info.UID); err != nil {
		return err
	}
	if keys["gr_name"], err = groupName(ctx, host, info.GID); err != nil {
		return err
	}
	if f.args.GetChecksum && info.Type == sys.Regular {
		stat := StatArgs{Path: p, ChecksumAlgorithm: "sha1"}
		if keys["checksum"], err = stat.checksum(ctx, host); err != nil {
			return err
		}
	}
	f.files = append(f.files, keys)
	return nil
}

// fits tells by name, type and size.
func (f *finder) fits(name string, info sys.FileInfo) bool {
	types := map[string]sys.FileType{"file": sys.Regular, "directory": sys.Directory, "link": sys.Symlink}
	switch {
	case name[0] == '.' && !f.args.Hidden,
		f.args.FileType != "any" && info.Type != types[f.args.FileType],
		info.Type != sys.Directory && !f.size.holds(info.Size),
		len(f.patterns) > 0 && !anyMatches(f.patterns, name):
		return false
	}
	return !anyMatches(f.excludes, name)
}

func anyMatches(all []*regexp.Regexp, name string) bool {
	for _, re := range all {
		if re.MatchString(name) {
			return true
		}
	}
	return false
}

func (f *finder) stamp(p string, info sys.FileInfo) (time.Time, error) {
	switch f.args.AgeStamp {
	case "atime":
		return info.AccessTime, nil
	case "ctime":
		if info.ChangeTime.IsZero() {
			return info.ChangeTime, &sys.UnknownError{What: "ctime of " + p, Because: "an earlier task would change it"}
		}
		return info.ChangeTime, nil
	}
	return info.ModTime, nil
}

// matchesContent reads as much of the file as it takes, and holds none of it.
func (f *finder) matchesContent(ctx context.Context, host sys.Reader, p string) (bool, error) {
	r, err := host.Files().Open(ctx, p)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", p, err)
	}
	defer r.Close() //nolint:errcheck // only read from
	text := &runes{r: bufio.NewReaderSize(&untilCancelled{ctx, r}, 64<<10)}
	if f.args.ReadWholeFile {
		found := f.contains.MatchReader(text)
		return found && text.err == nil, text.failed(p)
	}
	for {
		if _, err := text.r.Peek(1); err != nil && text.err == nil {
			text.err = err
		}
		if text.err != nil {
			return false, text.failed(p)
		}
		line := &oneLine{text: text}
		if f.contains.MatchReader(line) && text.err == nil {
			return true, nil
		}
		line.skip()
	}
}

// runes reads a file for an expression, and keeps the error that it would swallow.
type runes struct {
	r   *bufio.Reader
	err error
}

// ReadRune implements io.RuneReader.
func (t *runes) ReadRune() (rune, int, error) {
	if t.err != nil {
		return 0, 0, io.EOF
	}
	c, size, err := t.r.ReadRune()
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return c, size, err
}

func (t *runes) failed(p string) error {
	if t.err == nil || errors.Is(t.err, io.EOF) {
		return nil
	}
	return fmt.Errorf("reading %s: %w", p, t.err)
}

// oneLine ends where the line does.
type oneLine struct {
	text  *runes
	ended bool
}

// skip goes to the end of the line.
func (l *oneLine) skip() {
	for !l.ended {
		_, err := l.text.r.ReadSlice('\n')
		if l.ended = !errors.Is(err, bufio.ErrBufferFull); l.ended && err != nil {
			l.text.err = err
		}
	}
}

// ReadRune implements io.RuneReader.
func (l *oneLine) ReadRune() (rune, int, error) {
	if l.ended {
		return 0, 0, io.EOF
	}
	c, size, err := l.text.ReadRune()
	l.ended = err != nil || c == '\n'
	return c, size, err
}
