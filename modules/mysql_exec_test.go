package modules_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

const (
	selectDomain = "SELECT `tcpdomain`, (`tcpdomain` <=> ?) FROM `console`.`region_info` WHERE `region_name` <=> ? LIMIT 2"
	updateDomain = "UPDATE `console`.`region_info` SET `tcpdomain` = ? WHERE `region_name` <=> ?"
)

// regions is a server with the table region_info, of which a row is a domain.
type regions struct {
	*fakeServer
	rows []any // tcpdomain of the rows that the key finds
}

func newRegions(t *testing.T, rows ...any) (*systest.Host, *regions) {
	r := &regions{rows: rows}
	r.fakeServer = newFakeServer(t, r.reply)
	host := systest.NewHostInMemory(t)
	host.State.Dials["unix /run/mysqld/mysqld.sock"] = r.dial
	return host, r
}

func (r *regions) reply(query string, args []any) fakeAnswer {
	switch query {
	case selectDomain:
		a := fakeAnswer{columns: []string{"tcpdomain", "same"}}
		for _, domain := range r.rows {
			a.rows = append(a.rows, []any{domain, map[bool]string{true: "1", false: "0"}[strings.EqualFold(fmt.Sprint(domain), fmt.Sprint(args[0]))]})
		}
		return a
	case updateDomain:
		for i := range r.rows {
			r.rows[i] = args[0]
		}
		return fakeAnswer{affected: len(r.rows)}
	case "INSERT INTO `console`.`region_info` (`region_name`, `tcpdomain`) VALUES (?, ?)":
		r.rows = append(r.rows, args[1])
		return fakeAnswer{affected: 1}
	}
	return fakeAnswer{fails: "not expected: " + query}
}

func domainArgs(more ...any) map[string]any {
	args := map[string]any{
		"login_unix_socket": "/run/mysqld/mysqld.sock", "table": "console.region_info",
		"key": map[string]any{"region_name": "rainbond"}, "set": map[string]any{"tcpdomain": "10.77.0.100"},
	}
	for i := 0; i < len(more); i += 2 {
		args[more[i].(string)] = more[i+1]
	}
	return args
}

func TestMysqlRow(t *testing.T) {
	host, server := newRegions(t, "10.77.0.11")
	out := agreed(t, host, "mysql_exec", domainArgs())
	wantChanges(t, out, "update console.region_info[region_name=rainbond] tcpdomain: 10.77.0.11 -> 10.77.0.100")
	if diff := cmp.Diff(modules.Result{"row": map[string]any{"tcpdomain": "10.77.0.100"}, "rows_affected": int64(1)}, out.Result); diff != "" {
		t.Error(diff)
	}
	want := updateDomain + " [10.77.0.100 rainbond]"
	if all := strings.Join(server.asked(), "\n"); strings.Count(all, want) != 1 {
		t.Errorf("executed:\n%s", all)
	}
}

func TestMysqlRowKinds(t *testing.T) {
	tests := []struct {
		name    string
		rows    []any
		more    []any
		changes []string
		fails   string
	}{
		{"as it is", []any{"10.77.0.100"}, nil, nil, ""},
		{"NULL", []any{nil}, nil, []string{"update console.region_info[region_name=rainbond] tcpdomain: (absent) -> 10.77.0.100"}, ""},
		{"only the collation takes it for the same", []any{"VIP"}, []any{"set", map[string]any{"tcpdomain": "vip"}}, []string{"update console.region_info[region_name=rainbond] tcpdomain: VIP -> vip"}, ""},
		{"secret", []any{"old"}, []any{"secret_columns", "tcpdomain"}, []string{"update console.region_info[region_name=rainbond] tcpdomain: (hidden) -> (hidden)"}, ""},
		{"no row", nil, nil, nil, "there is no such row"},
		{"no row, and one wanted", nil, []any{"insert", true}, []string{
			"create console.region_info[region_name=rainbond] region_name: (absent) -> rainbond",
			"create console.region_info[region_name=rainbond] tcpdomain: (absent) -> 10.77.0.100",
		}, ""},
		{"two rows", []any{"a", "b"}, nil, nil, "more than one row"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			host, _ := newRegions(t, test.rows...)
			out := agreed(t, host, "mysql_exec", domainArgs(test.more...))
			if test.fails != "" {
				wantFailure(t, out, test.fails)
				return
			}
			wantChanges(t, out, test.changes...)
		})
	}
}

func TestMysqlHidesSecrets(t *testing.T) {
	host, server := newRegions(t, "old")
	inner := server.answer
	server.answer = func(query string, args []any) fakeAnswer {
		if query == updateDomain {
			return fakeAnswer{fails: "Data too long: 's3cret'"}
		}
		return inner(query, args)
	}
	out := run(t, host, "mysql_exec", domainArgs("set", map[string]any{"tcpdomain": "s3cret"}, "secret_columns", "tcpdomain", "login_password", "pa55"))
	wantFailure(t, out, "Data too long: '(hidden)'")
	if all := fmt.Sprintf("%+v", out); strings.Contains(all, "s3cret") || strings.Contains(all, "pa55") {
		t.Errorf("a secret is shown: %s", all)
	}
}

// Rows are read in check mode also when something would have been restarted, and
// an earlier task's values count.
func TestMysqlReadsBeneathTheShadow(t *testing.T) {
	host, server := newRegions(t, "10.77.0.11")
	host.State.Units["app.service"] = sys.Unit{Load: "loaded", Active: "active", Sub: "running"}
	shadow := sys.NewShadow(host)
	run(t, shadow, "systemd", map[string]any{"name": "app", "state": "restarted"})
	wantChanges(t, run(t, shadow, "mysql_exec", domainArgs()), "update console.region_info[region_name=rainbond] tcpdomain: 10.77.0.11 -> 10.77.0.100")
	wantStatus(t, run(t, shadow, "mysql_exec", domainArgs()), modules.OK)
	wantChanges(t, run(t, shadow, "mysql_exec", domainArgs("set", map[string]any{"tcpdomain": "x"})), "update console.region_info[region_name=rainbond] tcpdomain: 10.77.0.100 -> x")
	for _, query := range server.asked() {
		if strings.HasPrefix(query, "UPDATE") || query == "COMMIT" || query == "START TRANSACTION" {
			t.Errorf("check mode executed %s", query)
		}
	}
	host.State.Dials["unix /run/mysqld/mysqld.sock"] = func(context.Context) (net.Conn, error) { return nil, errors.New("no such socket") }
	fresh := sys.NewShadow(host)
	wantFailure(t, run(t, fresh, "mysql_exec", domainArgs()), "no such socket")
	run(t, fresh, "systemd", map[string]any{"name": "app", "state": "restarted"})
	wantStatus(t, run(t, fresh, "mysql_exec", domainArgs()), modules.Deferred)
}

func TestMysqlStatement(t *testing.T) {
	host, server := newRegions(t)
	granted := false
	server.answer = func(query string, args []any) fakeAnswer {
		switch query {
		case "SELECT COUNT(*) FROM mysql.db WHERE User = ?":
			return fakeAnswer{columns: []string{"n"}, rows: [][]any{{map[bool]string{true: "1", false: "0"}[granted]}}}
		case "GRANT SELECT ON console.* TO reader":
			granted = true
			return fakeAnswer{}
		case "SELECT tcpdomain FROM region_info":
			return fakeAnswer{columns: []string{"tcpdomain"}}
		}
		return fakeAnswer{fails: "not expected: " + query}
	}
	args := map[string]any{
		"login_unix_socket": "/run/mysqld/mysqld.sock", "db": "console", "login_user": "admin",
		"statement": "GRANT SELECT ON console.* TO reader",
		"unless":    "SELECT COUNT(*) FROM mysql.db WHERE User = ?", "condition_args": []any{"reader"},
	}
	shadow := sys.NewShadow(host)
	wantStatus(t, run(t, shadow, "mysql_exec", args), modules.Changed)
	wantStatus(t, run(t, shadow, "mysql_exec", args), modules.OK)
	query := map[string]any{"login_unix_socket": "/run/mysqld/mysqld.sock", "query": "SELECT tcpdomain FROM region_info"}
	wantStatus(t, run(t, shadow, "mysql_exec", query), modules.Deferred)
	if granted {
		t.Error("check mode executed the statement")
	}
	wantChanges(t, run(t, host, "mysql_exec", args), "run mysql /run/mysqld/mysqld.sock statement: (absent) -> GRANT SELECT ON console.* TO reader")
	wantStatus(t, run(t, host, "mysql_exec", args), modules.OK)
	if server.users[0] != "admin/console" {
		t.Errorf("logged in as %q", server.users[0])
	}
	granted = false
	args["only_if"], args["unless"] = "SELECT COUNT(*) FROM mysql.db WHERE User = ?", ""
	wantStatus(t, run(t, host, "mysql_exec", args), modules.OK)
	granted = true
	wantFailure(t, run(t, host, "mysql_exec", args), "still says that it is needed")
}

func TestMysqlQuery(t *testing.T) {
	host, server := newRegions(t)
	server.answer = func(query string, args []any) fakeAnswer {
		if cmp.Equal(args, []any{"1", int64(7), nil, 1.5, int64(1)}) {
			return fakeAnswer{columns: []string{"name", "token", "n"}, rows: [][]any{{"rainbond", "abc", nil}, {"b", nil, "2"}}}
		}
		return fakeAnswer{fails: fmt.Sprintf("bound %#v", args)}
	}
	out := run(t, host, "mysql_exec", map[string]any{
		"login_unix_socket": "/run/mysqld/mysqld.sock", "query": "SELECT ?, ?, ?, ?, ?",
		"args": []any{"1", 7, nil, 1.5, true}, "secret_columns": "TOKEN",
	})
	want := modules.Result{"rowcount": 2, "query_result": []any{
		map[string]any{"name": "rainbond", "token": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER", "n": nil},
		map[string]any{"name": "b", "token": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER", "n": "2"},
	}}
	if diff := cmp.Diff(want, out.Result); diff != "" {
		t.Errorf("%s %s", diff, out.Message)
	}
	if asked := server.asked(); asked[0] != "START TRANSACTION READ ONLY" {
		t.Errorf("asked %v", asked)
	}
}

func TestMysqlQueryModule(t *testing.T) {
	host, server := newRegions(t)
	server.answer = func(query string, args []any) fakeAnswer {
		switch {
		case query == "SELECT name, '%' FROM r WHERE a = ? AND b = ?" && cmp.Equal(args, []any{"x", int64(1)}):
			return fakeAnswer{columns: []string{"name", "token"}, rows: [][]any{{"rainbond", "abc"}}}
		case query == "SELECT 100 % 3 AS n", query == "SHOW TABLES":
			return fakeAnswer{columns: []string{"n"}, rows: [][]any{{"1"}, {"2"}}}
		}
		return fakeAnswer{fails: fmt.Sprintf("not expected: %s %#v", query, args)}
	}
	login := map[string]any{"login_unix_socket": "/run/mysqld/mysqld.sock"}
	with := func(more map[string]any) map[string]any {
		all := maps.Clone(login)
		maps.Copy(all, more)
		return all
	}
	args := with(map[string]any{"query": "SELECT name, '%%' FROM r WHERE a = %s AND b = %s", "positional_args": []any{"x", 1}, "secret_columns": "token"})
	out := predicted(t, host, "mysql_query", args)
	want := modules.Result{
		"rowcount": []any{1}, "executed_queries": []any{args["query"]},
		"query_result": []any{[]any{map[string]any{"name": "rainbond", "token": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"}}},
	}
	if diff := cmp.Diff(want, out.Result); diff != "" {
		t.Errorf("%s %s", diff, out.Message)
	}
	named := with(map[string]any{"query": "SELECT name, '%%' FROM r WHERE a = %(a)s AND b = %(b)s", "named_args": map[string]any{"b": 1, "a": "x"}})
	wantStatus(t, run(t, host, "mysql_query", named), modules.OK)
	several := run(t, host, "mysql_query", with(map[string]any{"query": []any{"SHOW TABLES", "SELECT 100 % 3 AS n"}}))
	if diff := cmp.Diff([]any{2, 2}, several.Result["rowcount"]); diff != "" {
		t.Errorf("%s %s", diff, several.Message)
	}
	for _, asked := range server.asked() {
		if strings.HasPrefix(asked, "START") && asked != "START TRANSACTION READ ONLY" {
			t.Errorf("asked %s", asked)
		}
	}
	for _, more := range []map[string]any{
		{"query": "DELETE FROM r"},
		{"query": "SELECT 1 INTO OUTFILE '/x'"},
		{"query": []any{"SELECT 1", "drop table r"}},
		{"query": ""},
		{"query": "SELECT %s", "positional_args": []any{}},
		{"query": "SELECT %s", "positional_args": []any{1, 2}},
		{"query": "SELECT %(a)s", "named_args": map[string]any{"b": 1}},
		{"query": "SELECT ?, %s", "positional_args": []any{1}},
		{"query": "SELECT 1", "single_transaction": true},
	} {
		refused(t, "mysql_query", with(more))
	}
}

// withRealFiles is a host that has the machine's own files, for /proc.
type withRealFiles struct{ *systest.Host }

func (withRealFiles) Files() sys.FileReader { return sys.NewReal().Files() }

// The test's own process stands for the container's.
func TestMysqlContainerSocket(t *testing.T) {
	inMemory, server := newRegions(t, "10.77.0.100")
	host := withRealFiles{inMemory}
	socket := t.TempDir() + "/my.sock"
	if err := os.WriteFile(socket, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	inspect := "docker inspect --type container --format {{json .}} rbd-db"
	host.State.Probes[inspect] = systest.Says(0, fmt.Sprintf(`{"Id":"x","Name":"/rbd-db","State":{"Status":"running","Pid":%d}}`, os.Getpid()))
	host.State.Dials[fmt.Sprintf("unix /proc/%d/root%s", os.Getpid(), socket)] = server.dial
	args := domainArgs("container", "rbd-db", "login_unix_socket", socket)
	wantStatus(t, run(t, host, "mysql_exec", args), modules.OK)
	wantStatus(t, run(t, sys.NewShadow(host), "mysql_exec", args), modules.OK)
	args["login_unix_socket"] = "/no.sock"
	wantFailure(t, run(t, host, "mysql_exec", args), "has no socket at /no.sock")
	host.State.Probes[inspect] = systest.Says(0, `{"Id":"x","State":{"Status":"exited"}}`)
	wantFailure(t, run(t, host, "mysql_exec", args), "is not running (exited)")
	host.State.Probes[inspect] = func(systest.Call) sys.Result {
		return sys.Result{Code: 1, Stderr: []byte("Error: No such container: rbd-db\n")}
	}
	wantFailure(t, run(t, host, "mysql_exec", args), "No such container: rbd-db")
}

func TestMysqlRefuses(t *testing.T) {
	login := map[string]any{"login_host": "db"}
	for want, args := range map[string]map[string]any{
		"one of table, statement and query": {"statement": "x", "query": "y"},
		"go with statement":                 {"query": "x", "unless": "y"},
		"needs key and set":                 {"table": "a", "set": map[string]any{"b": 1}},
		"no name of a table or column":      {"table": "a`; DROP TABLE b", "key": map[string]any{"k": 1}, "set": map[string]any{"b": 1}},
		"neither TABLE nor":                 {"table": "a.b.c", "key": map[string]any{"k": 1}, "set": map[string]any{"b": 1}},
		`"b = 1`:                            {"table": "a", "key": map[string]any{"k": 1}, "set": map[string]any{"b = 1`": 1}},
		"not a list":                        {"table": "a", "key": map[string]any{"k": []any{1}}, "set": map[string]any{"b": 1}},
		"go with table":                     {"query": "x", "insert": true},
		"value 2":                           {"query": "x", "args": []any{1, map[string]any{}}},
		"login_host excludes":               {"query": "x", "container": "c"},
		"is no port":                        {"query": "x", "login_port": 0},
	} {
		for k, v := range login {
			args[k] = v
		}
		if got := refused(t, "mysql_exec", args); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
}
