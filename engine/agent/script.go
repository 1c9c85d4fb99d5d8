package agent

import "strings"

// The scripts run under any POSIX shell. They reach it as one argument in single
// quotes through a login shell that may be anything, so they hold no single
// quote, no newline and no exclamation mark (csh minds both).

// cache is where programs lie. A user's own is closed to all others. One that
// another user runs programs from is open to read, in a folder that only we can
// change; it has its own place, because a home folder is often closed.
type cache struct {
	folders            []string
	folder, file, mode string
}

var (
	ownCache = cache{
		folders: []string{`"${HOME:-/nonexistent}/.cache/rbdplay"`, `"/var/tmp/.rbdplay-$u"`},
		folder:  "drwx------", file: "-rwx------", mode: "700",
	}
	sharedCache = cache{
		folders: []string{`"/var/tmp/.rbdplay-$u.shared"`, `"/tmp/.rbdplay-$u.shared"`},
		folder:  "drwxr-xr-x", file: "-rwxr-xr-x", mode: "755",
	}
)

func (p becomePrefix) cache() cache {
	if p.shared {
		return sharedCache
	}
	return ownCache
}

// mine tells whether $1 is a folder that nobody but us can change: no link, its
// mode, owner $u. ls -ldn is the one portable way to see all of it at once.
func (c cache) mine() string {
	return `mine() { set -- $(ls -ldn "$1" 2>/dev/null); case "$1" in ` + c.folder + `*) test "$3" = "$u";; *) false;; esac; }; `
}

// cached sets n to the first of the programs that is ours in $d, a folder like
// mine, or to nothing. One ls tells of the folder and the programs together, as
// each process costs about as much as the rest of the script. Its words are read
// one by one, since how many a date has is not ours to say: mode, links and owner,
// which must fit the pattern $u, and the name at last. A link has another mode, and so
// nothing comes of its words.
func (c cache) cached(programs []string) string {
	list := `"$d" "$d/` + strings.Join(programs, `" "$d/`) + `"`
	return `cached() { n=; o=; p=; k=0; for w in $(ls -ldn ` + list + ` 2>/dev/null); do case "$w" in ` +
		c.folder + `*|` + c.file + `*) p=$w; k=0;; ` +
		`"$d") case "$p" in d*) o=y;; esac; p=;; ` +
		`"$d"/*) case "$p" in -*) n=$w;; esac; p=;; ` +
		`*) k=$((k+1)); test $k = 2 && case "$w" in $u) ;; *) p=;; esac;; esac; done; test "$o" || n=; test "$n"; }; `
}

// each sets d to each candidate in turn.
func (c cache) each() string { return `for d in ` + strings.Join(c.folders, " ") + `; do ` }

// usable makes the folder $d and tries a program in it. Characters that our
// upload path may not hold rule it out.
func (c cache) usable() string {
	return `usable() { test -z "$(printf %s "$d" | tr -d "a-zA-Z0-9/._-")" || return 1; mkdir -p "${d%/*}" 2>/dev/null; mkdir -m ` + c.mode + ` "$d" 2>/dev/null; mine "$d" || return 1; ` +
		`echo "exit 0" 2>/dev/null >"$d/try-$$" && chmod 700 "$d/try-$$" && "$d/try-$$" 2>/dev/null; r=$?; rm -f "$d/try-$$"; return $r; }; `
}

func say(word string) string { return `echo "` + bootstrapMagic + ` ` + word + `"; ` }

// startScript starts a cached program that is wanted, or says where one could be put.
func startScript(wanted map[string]string, prefix becomePrefix) string {
	var s strings.Builder
	c := prefix.cache()
	if len(wanted) > 0 {
		s.WriteString(c.cached(names(wanted)))
	}
	if len(wanted) > 0 && prefix.exe == "" {
		// Most often the program is here. The shell itself tells whether it is ours,
		// which spares a process; one that knows no -O asks below.
		s.WriteString(`u=*; d=` + c.folders[0] + `; if cached && test -O "$d" 2>/dev/null && test -O "$n" 2>/dev/null; then ` + prefix.exec(`"$n"`) + `fi; `)
	}
	s.WriteString(`u=$(id -u); ` + prefix.check())
	if len(wanted) > 0 {
		s.WriteString(c.each() + `if cached; then ` + prefix.exec(`"$n"`) + `fi; done; `)
	}
	s.WriteString(`umask 077; ` + c.mine() + c.usable())
	s.WriteString(`z=plain; if command -v gzip >/dev/null 2>&1; then z=gzip; command -v xz >/dev/null 2>&1 && z=xz; fi; `)
	s.WriteString(c.each() + `if usable; then ` + say(`missing $(uname -s) $(uname -m) $z $d`) + `exit 0; fi; done; `)
	s.WriteString(say(`nofolder $(uname -s) $(uname -m)`))
	return s.String()
}

// installScript checks the copied program, gives it its name and starts it under
// the user's own umask. It
// leaves the three newest programs in the cache.
func installScript(upload, folder, digest, packing string, prefix becomePrefix) string {
	name := folder + "/" + programName(digest)
	unpack := `mv ` + upload + ` ` + upload + `.out`
	if packing != packedNot {
		unpack = packing + ` -dc <` + upload + ` >` + upload + `.out`
	}
	var s strings.Builder
	s.WriteString(`m=$(umask); umask 077; u=$(id -u); f=` + upload + `; `)
	s.WriteString(`fail() { rm -f $f $f.out; ` + say(`$1`) + `exit 0; }; `)
	s.WriteString(prefix.check())
	s.WriteString(unpack + ` || fail unpack; rm -f $f; `)
	s.WriteString(`if command -v sha256sum >/dev/null 2>&1; then h=$(sha256sum <$f.out); ` +
		`elif command -v openssl >/dev/null 2>&1; then h=$(openssl dgst -sha256 -r <$f.out); ` +
		`elif command -v shasum >/dev/null 2>&1; then h=$(shasum -a 256 <$f.out); else fail nodigest; fi; `)
	s.WriteString(`test "${h%% *}" = ` + digest + ` || fail digest; `)
	s.WriteString(`sync $f.out 2>/dev/null; `) // a name that says what is in it must not outlive a crash that the bytes do not
	s.WriteString(`chmod ` + prefix.cache().mode + ` $f.out && mv -f $f.out ` + name + ` || fail unpack; `)
	s.WriteString(`for o in $(ls -t ` + folder + ` | grep "^rbdplay-agent-[0-9a-f]*\$" | tail -n +4); do rm -f ` + folder + `/$o; done; `)
	s.WriteString(`find ` + folder + ` -name "upload-*" -mtime +0 -exec rm -f {} \; 2>/dev/null; `)
	s.WriteString(`umask $m; ` + prefix.exec(name))
	return s.String()
}
