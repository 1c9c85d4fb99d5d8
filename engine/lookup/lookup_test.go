package lookup_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/lookup"
	"github.com/rbdplay/rbdplay/engine/vault"
)

// machine is a controller that knows a few commands and fails on all others.
type machine struct {
	t      *testing.T
	disk   fstest.MapFS
	writes []string
}

func (m *machine) Getenv(name string) (string, bool) {
	value, ok := map[string]string{"HOME": "/root", "EMPTY": ""}[name]
	return value, ok
}

func (m *machine) Run(_ context.Context, command, dir string) (string, error) {
	if dir != "/site" {
		m.t.Errorf("%s runs in %q", command, dir)
	}
	switch command {
	case "hello":
		return "hello\nworld\n\n", nil
	case "evil":
		return "{{ lookup('pipe', 'id') }}\n", nil
	case "broken":
		return "", errors.New("it is broken")
	}
	m.t.Errorf("the command %q was not expected", command)
	return "", nil
}

func (m *machine) Create(name string, content []byte) error {
	if m.disk[name[1:]] != nil {
		return fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	return m.Replace(name, content)
}

func (m *machine) Replace(name string, content []byte) error {
	m.writes = append(m.writes, name)
	m.disk[name[1:]] = &fstest.MapFile{Data: content, Mode: 0o600}
	return nil
}

// task asks: it has a role with files, in a playbook at /site.
type task struct {
	disk   fstest.MapFS
	writes bool
}

func (a *task) places(dir string) []string {
	return []string{path.Join("site/roles/r", dir), "site/roles/r", path.Join("site", dir), "site"}
}

func (a *task) Find(dir, name string) (lookup.File, error) {
	for _, place := range a.places(dir) {
		p := path.Join(place, name)
		if path.IsAbs(name) {
			p = name[1:]
		}
		if _, err := fs.Stat(a.disk, p); err == nil {
			return lookup.File{FS: a.disk, Path: p, Display: p, Name: "/" + p}, nil
		}
	}
	return lookup.File{}, diag.New(diag.Range{}, "there is no file %s", name).WithDetail("looked for it").WithCause(fs.ErrNotExist)
}

func (a *task) Folders(dir string) ([]lookup.File, error) {
	var all []lookup.File
	for _, p := range a.places(dir) {
		all = append(all, lookup.File{FS: a.disk, Path: p, Display: p, Name: "/" + p})
	}
	return all, nil
}
func (a *task) Dir() string { return "/site" }
func (a *task) Writes(context.Context, expression.Scope) (bool, error) {
	return a.writes, nil
}
func (a *task) Note(lookup.File, []byte) {}

// Read has no vault password.
func (a *task) Read(f lookup.File) ([]byte, error) {
	raw, err := fs.ReadFile(f.FS, f.Path)
	if err != nil {
		return nil, err
	}
	content, _, err := (*vault.Keyring)(nil).File(f.Display, raw)
	return content, err
}

// scope is variables with a task that asks.
type scope struct {
	expression.Variables
	asker lookup.Asker
}

func (s scope) Asker() any { return s.asker }

func tree() fstest.MapFS {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"site/roles/r/files/own.txt": " of the role \n\n", "site/files/own.txt": "not this", "site/files/shared.conf": "shared\n",
		"site/files/b.conf": "", "site/files/.hidden.conf": "", "site/files/sub/x[1].conf": "", "site/files/sub/x2.conf": "",
		"root/key.pub": "ssh-ed25519 AAAA\n", "site/files/evil.txt": "{{ lookup('pipe', 'id') }}",
		"site/files/vault.txt": "$ANSIBLE_VAULT;1.1;AES256\n3132", "site/files/binary": "\xff\xfe",
		"site/templates/t.j2": "{{ name }}{% include 'part.j2' %}\n", "site/templates/part.j2": " and {{ extra | default('no more') }}",
		"site/templates/list.j2": "[1, {{ n }}]", "site/templates/marks.j2": "<< name >>{{ raw }}", "site/templates/unknown.j2": "{{ later }}",
		"site/files/users.ini":       "[DEFAULT]\ncommon=c\n[global]\nkey=g\n[db]\nUser = joe\npassword: 1=2 %% ; x\nlong = a\n  b\nurl=%(user)s@db\nempty=\n",
		"site/files/user.properties": "user.name=Robert\nuser.pass = x\n",
		"site/files/elements.csv":    "Symbol,Name,Mass\nH,\"Hydro, gen\",1.008\nHe,Helium,4\n", "site/files/tabs.csv": "a\tb\tc\n",
		"site/pw": "s3cret word\n", "site/salted": "plain salt=abcdefgh\n",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func values() expression.Variables {
	return expression.Variables{
		"name": "web", "n": 2, "later": expression.Unknown{Reason: "r"}, "evil": "{{ lookup('pipe', 'id') }}",
		"groups": map[string]any{"all": []any{"b", "a", "c"}, "web": []any{"a", "b"}, "db": []any{"c"}},
		"users":  []any{map[string]any{"name": "u", "keys": []any{"k1", "k2"}}, map[string]any{"name": "v"}},
	}
}

func evaluate(t *testing.T, source string, m *machine, s expression.Scope) (any, error) {
	t.Helper()
	e, err := lookup.Environment(m).Compile(source, diag.InText("t.yml", source))
	if err != nil {
		return nil, err
	}
	value, err := e.Evaluate(t.Context(), s)
	if err != nil {
		return nil, err
	}
	return expression.Plain(t.Context(), value)
}

func TestLookups(t *testing.T) {
	for _, test := range []struct{ source, want string }{
		{`lookup('file', 'own.txt')`, `' of the role'`},
		{`lookup('file', 'own.txt', lstrip=true, rstrip=false)`, `'of the role \n\n'`},
		{`lookup('file', 'own.txt', 'shared.conf')`, `' of the role,shared'`},
		{`lookup('file', '~/key.pub')`, `'ssh-ed25519 AAAA'`},
		{`lookup('file', '/root/key.pub')`, `'ssh-ed25519 AAAA'`},
		{`lookup('file', 'evil.txt')`, `"{{ lookup('pipe', 'id') }}"`},
		{`lookup('file', 'nope')`, `error: t.yml:1:1: lookup(): file: there is no file nope; looked for it`},
		{`lookup('file', 'nope', errors='ignore')`, `None`},
		{`query('file', 'nope', errors='ignore')`, `[]`},
		{`lookup('file', 'vault.txt')`, `error: t.yml:1:1: lookup(): file: cannot read site/files/vault.txt: site/files/vault.txt:1:1: the vault is damaged: it does not hold salt, checksum and content; a part of it may be missing (encrypt it again, or take it from a backup)`},
		{`lookup('file', 'binary')`, `error: t.yml:1:1: lookup(): file: site/files/binary is not text (UTF-8)`},
		{`lookup('file', n)`, `error: t.yml:1:1: lookup(): file: wants names of files, not 2`},
		{`lookup('file', later)`, `unknown: r`},
		{`lookup('unvault', 'own.txt')`, `' of the role \n\n'`},
		{`'x' | vault('s', salt='a', vault_id='dev') | length > 100`, `True`},
		{`('x' | vault('s', salt='a')) == ('x' | vault('s', salt='a'))`, `True`},
		{`'é' | vault('s') | unvault('s')`, `'é'`},
		{`'plain' | unvault('s')`, `'plain'`},
		{`'x' | vault('s', wrap_object=true)`, `error: t.yml:1:7: the filter 'vault': wrap_object is not supported: a value that is encrypted is text`},
		{`query('fileglob', '*.conf')`, `['/site/files/b.conf', '/site/files/shared.conf']`},
		{`query('fileglob', '.*.conf', 'own*')`, `['/site/files/.hidden.conf', '/site/roles/r/files/own.txt']`},
		{`query('fileglob', 'sub/x[[]*', 'sub/x[!1-9[]*', 'no/*', 'sub/x?.conf')`, `['/site/files/sub/x[1].conf', '/site/files/sub/x2.conf']`},
		{`query('fileglob', '/root/*')`, `['/root/key.pub']`},
		{`lookup('first_found', 'nope', 'shared.conf')`, `'/site/files/shared.conf'`},
		{`lookup('first_found', ['nope', 'b.conf'])`, `'/site/files/b.conf'`},
		{`lookup('first_found', files=['nope', 'key.pub'], paths=['files', '/root'])`, `'/root/key.pub'`},
		{`query('first_found', 'nope', skip=true)`, `[]`},
		{`query('first_found', {'files': 'nope', 'skip': true})`, `[]`},
		{`query('first_found', {'files': 'nope', 'skp': true})`, `error: t.yml:1:1: query(): first_found: knows no skp, only files, paths and skip`},
		{`lookup('template', 't.j2')`, `'web and no more\n'`},
		{`lookup('template', 't.j2', template_vars={'extra': 'x'})`, `'web and x\n'`},
		{`lookup('template', 'list.j2')`, `[1, 2]`},
		{`lookup('template', 'list.j2', convert_data=false)`, `'[1, 2]'`},
		{`lookup('template', 'marks.j2', variable_start_string='<<', variable_end_string='>>')`, `'web{{ raw }}'`},
		{`lookup('template', 'unknown.j2')`, `unknown: r`},
		{`lookup('template', 'marks.j2')`, `error: site/templates/marks.j2:1:14: 'raw' is undefined`},
		{`lookup('vars', 'na' ~ 'me')`, `'web'`},
		{`lookup('vars', 'nam', default='d')`, `'d'`},
		{`lookup('vars', 'nam')`, `error: t.yml:1:1: lookup(): vars: there is no variable 'nam', did you mean "name"?`},
		{`lookup('vars', 'later')`, `unknown: r`},
		{`lookup('vars', 'evil')`, `"{{ lookup('pipe', 'id') }}"`},
		{`lookup('varnames', '^n', 's$')`, `'n,name,groups,users'`},
		{`lookup('varnames', '(')`, `error: t.yml:1:1: lookup(): varnames: the regular expression '(': missing closing )`},
		{`lookup('env', 'HOME') ~ lookup('env', 'EMPTY') ~ lookup('env', 'NOPE') ~ lookup('env', 'NOPE', default='-')`, `'/root-'`},
		{`lookup('env', 'NOPE', default=undef())`, `error: t.yml:1:31: 'undef()' is undefined`},
		{`query('inventory_hostnames', 'all')`, `['b', 'a', 'c']`},
		{`query('inventory_hostnames', 'all:!web')`, `['c']`},
		{`query('inventory_hostnames', 'nope')`, `[]`},
		{`lookup('pipe', 'hello')`, `'hello\nworld'`},
		{`query('lines', 'hello')`, `['hello', 'world', '']`},
		{`lookup('pipe', 'evil')`, `"{{ lookup('pipe', 'id') }}"`},
		{`lookup('pipe', 'broken')`, `error: t.yml:1:1: lookup(): pipe: it is broken`},
		{`lookup('ini', 'user', section='db', file='users.ini')`, `'joe'`},
		{`lookup('ini', 'user section=db file=users.ini')`, `'joe'`},
		{`lookup('ini', 'key', file='users.ini')`, `'g'`},
		{`lookup('ini', 'url', 'password', 'common', 'long', section='db', file='users.ini')`, `'joe@db,1=2 % ; x,c,a\nb'`},
		{`lookup('ini', 'User', section='db', file='users.ini', case_sensitive=true)`, `'joe'`},
		{`query('ini', 'u.*', section='db', file='users.ini', re=true)`, `['joe', 'joe@db']`},
		{`lookup('ini', 'no', section='db', file='users.ini', default='d')`, `'d'`},
		{`lookup('ini', 'no', section='nope', file='users.ini')`, `error: t.yml:1:1: lookup(): ini: site/files/users.ini has no section nope`},
		{`lookup('ini', 'user.name', type='properties', file='user.properties')`, `'Robert'`},
		{`lookup('ini', 'a', file='user.properties')`, `error: t.yml:1:1: lookup(): ini: site/files/user.properties:1: no section begins before "user.name=Robert"`},
		{`lookup('csvfile', 'H', file='elements.csv', delimiter=',')`, `'Hydro, gen'`},
		{`lookup('csvfile', 'He file=elements.csv delimiter=, col=2')`, `'4'`},
		{`lookup('csvfile', 'a', file='tabs.csv')`, `'b'`},
		{`query('csvfile', 'X', file='elements.csv', delimiter=',')`, `[]`},
		{`lookup('csvfile', 'X', file='elements.csv', delimiter=',', default='-')`, `'-'`},
		{`lookup('csvfile', 'H', file='elements.csv', delimiter=',', col=9)`, `error: t.yml:1:1: lookup(): csvfile: site/files/elements.csv has no column 9 in the row of H`},
		{`lookup('password', 'pw')`, `'s3cret word'`},
		{`lookup('password', 'salted', encrypt='md5_crypt')`, `'$1$abcdefgh$xmWZKGfhrRJtgnueJyVxX.'`},
		{`lookup('password', '/dev/null', seed='x')`, `'O9iX65WvW9::bS:gx:86'`}, // as Ansible's
		{`lookup('password', '/dev/null length=3 chars=digits') is match('^[0-9]{3}$')`, `True`},
		{`lookup('password', '/dev/null', chars='a,,,b') | regex_replace('[ab,]', '')`, `''`},
		{`lookup('password', 'pw', encrypt='rot13')`, `error: t.yml:1:1: lookup(): password: knows no encryption "rot13"; there are sha512_crypt, sha256_crypt, md5_crypt and bcrypt`},
		{`lookup('password', 'pw size=3')`, `error: t.yml:1:1: lookup(): password: has no option size`},
		{`lookup('sequence', 'start=1 end=3')`, `'1,2,3'`},
		{`lookup('sequence', start=1, end=2, format='x%02d')`, `'x01,x02'`},
		{`lookup('items', [1, [2]], 3)`, `[1, [2], 3]`},
		{`lookup('flattened', [1, [2]], 3)`, `[1, 2, 3]`},
		{`lookup('dict', {'a': 1})`, `{'key': 'a', 'value': 1}`},
		{`lookup('nested', [1, 2], [3, [4, 5]])`, `[[1, 3], [1, 4, 5], [2, 3], [2, 4, 5]]`},
		{`lookup('together', [1, 2], [3])`, `[[1, 3], [2, None]]`},
		{`lookup('indexed_items', ['a', 'b'])`, `[[0, 'a'], [1, 'b']]`},
		{`lookup('subelements', users, 'keys', {'skip_missing': true})`, `[[{'name': 'u'}, 'k1'], [{'name': 'u'}, 'k2']]`},
		{`lookup('subelements', users, 'keys')`, `error: t.yml:1:1: lookup(): subelements: finds no key keys in {'name': 'v'}`},
		{`lookup('random_choice', 'a', 'a')`, `'a'`},
		{`lookup('list', 'a', later)`, `unknown: r`},
	} {
		t.Run(test.source, func(t *testing.T) {
			disk := tree()
			m := &machine{t: t, disk: disk}
			value, err := evaluate(t, test.source, m, scope{values(), &task{disk: disk}})
			got := expression.Repr(value)
			if u, ok := value.(expression.Unknown); ok {
				got = "unknown: " + u.Reason
			}
			if err != nil {
				got = "error: " + err.Error()
			}
			if got != test.want && !(strings.HasPrefix(test.want, "error: ") && strings.HasPrefix(got, test.want)) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if len(m.writes) > 0 {
				t.Errorf("wrote %v", m.writes)
			}
		})
	}
}

// TestPassword: a password is made once, kept, and not touched in check mode.
func TestPassword(t *testing.T) {
	disk := tree()
	m := &machine{t: t, disk: disk}
	asking := &task{disk: disk}
	const source = "lookup('password', 'new/one length=12 chars=digits')"
	value, err := evaluate(t, source, m, scope{values(), asking})
	if u, ok := value.(expression.Unknown); err != nil || !ok || u.Reason != "the password that the lookup would put into /site/new/one" {
		t.Error("in check mode:", value, err)
	}
	if value, err := evaluate(t, source, m, scope{values(), nil}); err == nil {
		t.Error("nobody asks, and a name beside the playbook leads somewhere:", value)
	}
	asking.writes = true
	first, err := evaluate(t, source, m, scope{values(), asking})
	if text, ok := first.(string); err != nil || !ok || len(text) != 12 {
		t.Fatal(first, err)
	}
	if again, err := evaluate(t, source, m, scope{values(), asking}); err != nil || again != first {
		t.Error(again, err)
	}
	if got := string(disk["site/new/one"].Data); got != first.(string)+"\n" || len(m.writes) != 1 {
		t.Errorf("kept %q by %v", got, m.writes)
	}
	hash, err := evaluate(t, "lookup('password', 'new/one', encrypt='sha512_crypt')", m, scope{values(), asking})
	if text, _ := hash.(string); err != nil || !strings.HasPrefix(text, "$6$rounds=656000$") {
		t.Error(hash, err)
	}
	if again, err := evaluate(t, "lookup('password', 'new/one', encrypt='sha512_crypt')", m, scope{values(), asking}); err != nil || again != hash {
		t.Error("the salt is not kept:", again, err)
	}
	if plain, err := evaluate(t, source, m, scope{values(), asking}); err != nil || plain != first || len(m.writes) != 2 {
		t.Error(plain, err, m.writes)
	}
}

// TestPasswordRace: who comes second takes the password of who was first.
func TestPasswordRace(t *testing.T) {
	disk := tree()
	m := &late{machine{t: t, disk: disk}}
	e, err := lookup.Environment(m).Compile("lookup('password', 'race')", nil)
	if err != nil {
		t.Fatal(err)
	}
	if value, err := e.Evaluate(t.Context(), scope{values(), &task{disk: disk, writes: true}}); err != nil || value != "theirs" {
		t.Error(value, err)
	}
}

// late is a controller on which another program always is a little faster.
type late struct{ machine }

func (l *late) Create(name string, content []byte) error {
	l.disk[name[1:]] = &fstest.MapFile{Data: []byte("theirs\n")}
	return l.machine.Create(name, content)
}

// TestWithout: without a controller and without anybody who asks, lookups say so.
func TestWithout(t *testing.T) {
	env := lookup.Environment(nil)
	for source, want := range map[string]string{
		"lookup('pipe', 'id')": "the controller is out of reach here", "lookup('file', 'x')": "no files can be looked up here",
		"lookup('password', '/x')": "no files can be looked up here",
	} {
		e, err := env.Compile(source, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Evaluate(t.Context(), values()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", source, err)
		}
	}
}
