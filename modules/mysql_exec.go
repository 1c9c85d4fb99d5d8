package modules

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// MysqlExecArgs are the arguments of mysql_exec.
type MysqlExecArgs struct {
	MysqlLogin
	Statement     string         `arg:"statement" doc:"A statement to execute, with ? for each of args. It is a change each time, unless unless or only_if says that it is not needed."`
	Args          []any          `arg:"args" doc:"The values for the ? of statement or query. They are bound by the server and never become part of the text."`
	Unless        string         `arg:"unless" doc:"A query that tells that statement is not needed: its first row's first column is neither NULL, 0 nor empty."`
	OnlyIf        string         `arg:"only_if" doc:"A query that tells in the same way that statement is needed."`
	ConditionArgs []any          `arg:"condition_args" doc:"The values for the ? of unless and only_if."`
	Query         string         `arg:"query" doc:"A query that only reads; the server holds it to that."`
	Table         string         `arg:"table" doc:"The table that has the row, as TABLE or DATABASE.TABLE."`
	Key           map[string]any `arg:"key" doc:"The columns, with their values, that find exactly one row."`
	Set           map[string]any `arg:"set" doc:"The columns that the row should have, with their values. Only those that differ are written."`
	State         string         `arg:"state" default:"present" choices:"present" doc:"present: the row has these values."`
	Insert        bool           `arg:"insert" default:"no" doc:"Make the row when there is none. Without it that is an error."`
	SecretColumns []string       `arg:"secret_columns" doc:"Columns whose values are never shown."`
}

func mysqlExecSpec() Spec {
	return Spec{
		Name:    "mysql_exec",
		Summary: "Bring rows of a MySQL or MariaDB database to wanted values, or execute a statement",
		Place:   OnHost,
		New:     func() Module { return &MysqlExecArgs{} },
		Notes: []string{
			"One of three forms: table with key and set; statement with the query that tells whether it is needed; or query, which only reads.",
			"The server compares the values, so that '10' is equal to a number 10; texts are equal only when every letter is.",
			"With container, the server is reached through the container's own socket in /proc, which needs root on the host and neither a client program nor a password in any argument list.",
			"Rows are read in check mode too, also after tasks that would have restarted something.",
		},
		Returns: []Return{
			{Name: "rows_affected", Type: "int", Doc: "Rows that were changed. Of a statement it is known only once it was executed.", Run: true},
			{Name: "row", Type: "dict", Doc: "With table: the columns of set as they are."},
			{Name: "query_result", Type: "list", Doc: "With query: a mapping for each row."},
			{Name: "rowcount", Type: "int", Doc: "With query: how many rows."},
		},
		Examples: []Example{
			{"The address for TCP apps", `
mysql_exec:
  container: rbd-db
  table: console.region_info
  key: {region_name: rainbond}
  set: {tcpdomain: 10.77.0.10}`},
			{"A statement and how to tell that it is not needed", `
mysql_exec:
  login_unix_socket: /run/mysqld/mysqld.sock
  statement: GRANT SELECT ON console.* TO reader
  unless: SELECT COUNT(*) FROM mysql.db WHERE User = ? AND Db = 'console'
  condition_args: [reader]`},
			{"Read", `
mysql_exec:
  container: rbd-db
  query: SELECT region_name, tcpdomain FROM console.region_info WHERE status = ?
  args: ["1"]
register: regions`},
		},
	}
}

// Validate wants one of the three forms, whole.
func (a *MysqlExecArgs) Validate() error {
	forms := 0
	for _, given := range []bool{a.Statement != "", a.Query != "", a.Table != ""} {
		if given {
			forms++
		}
	}
	if forms != 1 {
		return errors.New("mysql_exec needs one of table, statement and query")
	}
	if a.Statement == "" && (a.Unless != "" || a.OnlyIf != "") {
		return errors.New("mysql_exec: unless and only_if go with statement")
	}
	if a.Table != "" {
		if err := a.validateRow(); err != nil {
			return err
		}
	} else if a.Key != nil || a.Set != nil || a.Insert {
		return errors.New("mysql_exec: key, set and insert go with table")
	}
	for _, list := range [][]any{a.Args, a.ConditionArgs} {
		for i, value := range list {
			if _, err := bound(value); err != nil {
				return fmt.Errorf("mysql_exec: value %d: %w", i+1, err)
			}
		}
	}
	return a.validate()
}

func (a *MysqlExecArgs) validateRow() error {
	if _, err := quoteTable(a.Table); err != nil {
		return fmt.Errorf("mysql_exec: table: %w", err)
	}
	if len(a.Key) == 0 || len(a.Set) == 0 {
		return errors.New("mysql_exec: table needs key and set")
	}
	for _, columns := range []map[string]any{a.Key, a.Set} {
		for name, value := range columns {
			if _, err := quoteName(name); err != nil {
				return fmt.Errorf("mysql_exec: %w", err)
			}
			if _, err := bound(value); err != nil {
				return fmt.Errorf("mysql_exec: %s: %w", name, err)
			}
		}
	}
	return nil
}

// quoteName writes an identifier for a statement. What no sane schema has is
// refused rather than quoted.
func quoteName(name string) (string, error) {
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool {
		return r == '`' || r == '.' || r == 0 || r < ' ' || r > 0xffff
	}) || strings.HasSuffix(name, " ") {
		return "", fmt.Errorf("%q is no name of a table or column", name)
	}
	return "`" + name + "`", nil
}

func quoteTable(table string) (string, error) {
	var quoted []string
	parts := strings.Split(table, ".")
	if len(parts) > 2 {
		return "", fmt.Errorf("%q is neither TABLE nor DATABASE.TABLE", table)
	}
	for _, part := range parts {
		q, err := quoteName(part)
		if err != nil {
			return "", err
		}
		quoted = append(quoted, q)
	}
	return strings.Join(quoted, "."), nil
}

// bound is a value as it is handed to the server.
func bound(value any) (any, error) {
	switch v := value.(type) {
	case nil, string, int64, float64, bool:
		return v, nil
	case int:
		return int64(v), nil
	case uint64:
		return v, nil
	}
	return nil, fmt.Errorf("a value is a text, a number, a boolean or null, not %s", describe(value))
}

func boundAll(values []any) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i], _ = bound(v) // Validate has refused the others
	}
	return out
}

// cell is the text of a column's value.
type cell struct {
	null bool
	text string
}

func (c cell) shown() change.Value {
	if c.null {
		return change.Absent()
	}
	return change.Text(c.text)
}

func (c cell) plain() any {
	if c.null {
		return nil
	}
	return c.text
}

func cellOf(value any) cell {
	switch v := value.(type) {
	case nil:
		return cell{null: true}
	case bool:
		if v {
			return cell{text: "1"}
		}
		return cell{text: "0"}
	case float64:
		return cell{text: strconv.FormatFloat(v, 'f', -1, 64)}
	}
	text, _ := asString(value)
	return cell{text: text}
}

// Plan carries out the form that was given.
func (a *MysqlExecArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	server, err := a.server(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	var plan Plan
	switch {
	case a.Query != "":
		plan, err = a.read(ctx, host, server)
	case a.Table != "":
		plan, err = a.row(ctx, host, server)
	default:
		plan, err = a.execute(ctx, host, server)
	}
	return plan, a.withoutSecrets(err)
}

// withoutSecrets takes the values of secret columns out of a server's message.
func (a *MysqlExecArgs) withoutSecrets(err error) error {
	if err == nil {
		return nil
	}
	if _, unknown := sys.Unknown(err); unknown {
		return err
	}
	text := err.Error()
	for _, name := range a.SecretColumns {
		for _, columns := range []map[string]any{a.Key, a.Set} {
			if value, ok := columns[name]; ok && cellOf(value).text != "" {
				text = strings.ReplaceAll(text, cellOf(value).text, "(hidden)")
			}
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

func (a *MysqlExecArgs) secret(column string) bool {
	return slices.ContainsFunc(a.SecretColumns, func(s string) bool { return strings.EqualFold(s, column) })
}

func (a *MysqlExecArgs) shown(column string, c cell) change.Value {
	if a.secret(column) {
		return change.Hidden()
	}
	return c.shown()
}

// hiddenValue stands in results for the value of a secret column, as in Ansible.
const hiddenValue = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"

// settled fails when a statement that check mode has not executed may have
// changed what is read.
func settled(ctx context.Context, host sys.Reader, server *mysqlServer) error {
	ran, err := sys.Look(ctx, host, server.key("statements"), func(context.Context) (bool, error) { return false, nil })
	if err == nil && ran {
		return &sys.UnknownError{What: "what " + server.name + " holds", Because: "an earlier task would execute a statement"}
	}
	return err
}

func (a *MysqlExecArgs) read(ctx context.Context, host sys.Reader, server *mysqlServer) (Plan, error) {
	if err := settled(ctx, host, server); err != nil {
		return Plan{}, err
	}
	var list []any
	err := server.read(ctx, host, func(tx *sql.Tx) error {
		var err error
		list, err = a.rows(ctx, tx)
		return err
	})
	if err != nil {
		return Plan{}, fmt.Errorf("asking %s: %w", server.name, err)
	}
	return Plan{Result: Result{"query_result": list, "rowcount": len(list)}}, nil
}

func (a *MysqlExecArgs) rows(ctx context.Context, tx *sql.Tx) ([]any, error) {
	rows, err := tx.QueryContext(ctx, a.Query, boundAll(a.Args)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	list := []any{}
	for rows.Next() {
		values := make([]any, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := map[string]any{}
		for i, name := range names {
			row[name] = a.plainValue(name, values[i])
		}
		list = append(list, row)
	}
	return list, rows.Err()
}

func (a *MysqlExecArgs) plainValue(column string, value any) any {
	if a.secret(column) {
		return hiddenValue
	}
	switch v := value.(type) {
	case []byte:
		return strings.ToValidUTF8(string(v), "\ufffd")
	case float32:
		return float64(v)
	case uint64:
		return strconv.FormatUint(v, 10)
	}
	return value
}

// execute plans the statement, if it is needed.
func (a *MysqlExecArgs) execute(ctx context.Context, host sys.Reader, server *mysqlServer) (Plan, error) {
	key := server.key("statement " + digestText(fmt.Sprintf("%q %v %q %q %v", a.Statement, a.Args, a.Unless, a.OnlyIf, a.ConditionArgs)))
	needed, err := sys.Look(ctx, host, key, func(ctx context.Context) (bool, error) {
		if a.Unless == "" && a.OnlyIf == "" {
			return true, nil
		}
		if err := settled(ctx, host, server); err != nil {
			return false, err
		}
		return a.needed(ctx, host, server)
	})
	if err != nil || !needed {
		return Plan{Result: Result{"rows_affected": int64(0)}}, err
	}
	return Plan{Steps: []Step{act{
		changes: []change.Change{{Target: server.name, Action: change.Run, Field: "statement", After: change.Text(a.Statement)}},
		do: func(ctx context.Context, host sys.Host, result Result) error {
			return a.withoutSecrets(a.carryOut(ctx, host, server, key, result))
		},
	}}}, nil
}

func (a *MysqlExecArgs) carryOut(ctx context.Context, host sys.Host, server *mysqlServer, key string, result Result) error {
	err := reallyDo(ctx, host, "what "+server.name+" answers", func(ctx context.Context) error {
		affected, err := server.write(ctx, host, a.Statement, boundAll(a.Args), nil)
		if err != nil {
			return fmt.Errorf("%s: %w", server.name, err)
		}
		result["rows_affected"] = affected
		return nil
	})
	_, unknown := sys.Unknown(err)
	if err != nil && !unknown {
		return err
	}
	conditional := a.Unless != "" || a.OnlyIf != ""
	if !unknown && conditional {
		needed, err := a.needed(ctx, host, server)
		if err != nil {
			return err
		}
		if needed {
			return errors.New("the statement was executed, but its condition (unless, only_if) still says that it is needed; one of the two is wrong")
		}
	}
	nothing := func(context.Context) error { return nil }
	if err := host.Change().Resources().Make(ctx, server.key("statements"), true, nothing); err != nil {
		return err
	}
	if conditional {
		if err := host.Change().Resources().Make(ctx, key, false, nothing); err != nil {
			return err
		}
	}
	return err
}

// needed asks the conditions.
func (a *MysqlExecArgs) needed(ctx context.Context, host sys.Reader, server *mysqlServer) (bool, error) {
	needed := true
	err := server.read(ctx, host, func(tx *sql.Tx) error {
		for query, want := range map[string]bool{a.Unless: false, a.OnlyIf: true} {
			if query == "" {
				continue
			}
			holds, err := queryHolds(ctx, tx, query, boundAll(a.ConditionArgs))
			if err != nil {
				return err
			}
			needed = needed && holds == want
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("asking %s whether the statement is needed: %w", server.name, err)
	}
	return needed, nil
}

func queryHolds(ctx context.Context, tx *sql.Tx, query string, args []any) (bool, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	if !rows.Next() {
		return false, rows.Err()
	}
	names, err := rows.Columns()
	if err != nil {
		return false, err
	}
	var first sql.NullString
	into := make([]any, len(names))
	for i := range into {
		into[i] = new(sql.RawBytes)
	}
	into[0] = &first
	if err := rows.Scan(into...); err != nil {
		return false, err
	}
	n, notNumber := strconv.ParseFloat(first.String, 64)
	return first.Valid && first.String != "" && (notNumber != nil || n != 0), nil
}

// rowState is a row as it was read, or as a step leaves it. It is never changed
// once made.
type rowState struct {
	found bool
	cells map[string]cell
	same  map[string]bool // by the server's own comparison with what is wanted; nil in a prediction
}

func (s rowState) equal(column string, value any) bool {
	if same, ok := s.same[column]; ok {
		return same
	}
	return s.cells[column] == cellOf(value)
}

// target names the row as an operator would.
func (a *MysqlExecArgs) target() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(a.Key)) {
		value := cellOf(a.Key[name]).text
		if a.secret(name) {
			value = "(hidden)"
		}
		parts = append(parts, name+"="+value)
	}
	table := a.Table
	if !strings.Contains(table, ".") && a.DB != "" {
		table = a.DB + "." + table
	}
	return table + "[" + strings.Join(parts, ",") + "]"
}

func (a *MysqlExecArgs) row(ctx context.Context, host sys.Reader, server *mysqlServer) (Plan, error) {
	now, err := a.lookRow(ctx, host, server)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Result: Result{"row": a.rowResult(now)}, Once: Result{"rows_affected": int64(0)}}
	if !now.found {
		if !a.Insert {
			return Plan{}, fmt.Errorf("%s: there is no such row; insert: yes would make it", a.target())
		}
		plan.Steps, plan.Once["rows_affected"] = []Step{a.insertStep(server)}, int64(1)
		return plan, nil
	}
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(a.Set)) {
		if !now.equal(name, a.Set[name]) {
			differ = append(differ, name)
		}
	}
	if len(differ) > 0 {
		plan.Steps, plan.Once["rows_affected"] = []Step{a.updateStep(server, now, differ)}, int64(1)
	}
	return plan, nil
}

func (a *MysqlExecArgs) rowResult(s rowState) map[string]any {
	row := map[string]any{}
	for name := range a.Set {
		switch {
		case a.secret(name):
			row[name] = hiddenValue
		case s.found:
			row[name] = s.cells[name].plain()
		}
	}
	return row
}

func (a *MysqlExecArgs) rowKey(server *mysqlServer) string {
	return server.key("row " + a.target() + " " + digestText(fmt.Sprint(a.Key)))
}

// lookRow reads the row. A prediction of an earlier task may lack columns that
// this one wants: those are read.
func (a *MysqlExecArgs) lookRow(ctx context.Context, host sys.Reader, server *mysqlServer) (rowState, error) {
	read := func(ctx context.Context) (rowState, error) {
		if err := settled(ctx, host, server); err != nil {
			return rowState{}, err
		}
		return a.readRow(ctx, host, server)
	}
	now, err := sys.Look(ctx, host, a.rowKey(server), read)
	if err != nil || now.same != nil || !now.found {
		return now, err
	}
	missing := slices.ContainsFunc(slices.Collect(maps.Keys(a.Set)), func(name string) bool { _, ok := now.cells[name]; return !ok })
	if !missing {
		return now, nil
	}
	actual, err := read(ctx)
	if err != nil {
		return rowState{}, err
	}
	if !actual.found {
		return rowState{}, &sys.UnknownError{What: "the rest of " + a.target(), Because: "an earlier task would insert the row"}
	}
	for name, c := range now.cells {
		actual.cells[name] = c
		delete(actual.same, name)
	}
	return actual, nil
}

// readRow selects the wanted columns, and what the server thinks of their values.
func (a *MysqlExecArgs) readRow(ctx context.Context, host sys.Reader, server *mysqlServer) (rowState, error) {
	table, _ := quoteTable(a.Table)
	names := slices.Sorted(maps.Keys(a.Set))
	var columns []string
	var values []any
	for _, name := range names {
		column, _ := quoteName(name)
		columns = append(columns, column, "("+column+" <=> ?)")
		value, _ := bound(a.Set[name])
		values = append(values, value)
	}
	where, keys := a.where()
	query := "SELECT " + strings.Join(columns, ", ") + " FROM " + table + " WHERE " + where + " LIMIT 2" //nolint:gosec // names are quoted, values are bound
	state := rowState{cells: map[string]cell{}, same: map[string]bool{}}
	err := server.read(ctx, host, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, query, append(values, keys...)...)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // Err tells
		types, err := rows.ColumnTypes()
		if err != nil {
			return err
		}
		for rows.Next() {
			if state.found {
				return errors.New("more than one row is found; add columns to key")
			}
			state.found = true
			if err := a.scanRow(rows, names, types, state); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return rowState{}, fmt.Errorf("reading %s: %w", a.target(), err)
	}
	return state, nil
}

func (a *MysqlExecArgs) scanRow(rows *sql.Rows, names []string, types []*sql.ColumnType, state rowState) error {
	texts := make([]sql.NullString, len(names))
	sames := make([]sql.NullBool, len(names))
	var into []any
	for i := range names {
		into = append(into, &texts[i], &sames[i])
	}
	if err := rows.Scan(into...); err != nil {
		return err
	}
	for i, name := range names {
		now := cell{null: !texts[i].Valid, text: texts[i].String}
		same := sames[i].Bool
		// A collation may take A for a; an operator does not.
		if wanted, isText := a.Set[name].(string); isText && same && strings.Contains(types[2*i].DatabaseTypeName(), "TEXT") {
			same = now.text == wanted
		} else if isText && same && strings.HasSuffix(types[2*i].DatabaseTypeName(), "CHAR") {
			same = strings.TrimRight(now.text, " ") == strings.TrimRight(wanted, " ")
		}
		state.cells[name], state.same[name] = now, same
	}
	return nil
}

func (a *MysqlExecArgs) where() (string, []any) {
	var conditions []string
	var values []any
	for _, name := range slices.Sorted(maps.Keys(a.Key)) {
		column, _ := quoteName(name)
		conditions = append(conditions, column+" <=> ?")
		value, _ := bound(a.Key[name])
		values = append(values, value)
	}
	return strings.Join(conditions, " AND "), values
}

func (a *MysqlExecArgs) updateStep(server *mysqlServer, now rowState, differ []string) Step {
	after := rowState{found: true, cells: maps.Clone(now.cells)}
	table, _ := quoteTable(a.Table)
	var changes []change.Change
	var set []string
	var values []any
	for _, name := range differ {
		wanted := cellOf(a.Set[name])
		changes = append(changes, change.Change{
			Target: a.target(), Action: change.Update, Field: name,
			Before: a.shown(name, now.cells[name]), After: a.shown(name, wanted),
		})
		column, _ := quoteName(name)
		set = append(set, column+" = ?")
		value, _ := bound(a.Set[name])
		values = append(values, value)
		after.cells[name] = wanted
	}
	where, keys := a.where()
	query := "UPDATE " + table + " SET " + strings.Join(set, ", ") + " WHERE " + where
	return a.writeStep(server, changes, after, query, append(values, keys...))
}

func (a *MysqlExecArgs) insertStep(server *mysqlServer) Step {
	row := maps.Clone(a.Key)
	maps.Copy(row, a.Set)
	after := rowState{found: true, cells: map[string]cell{}}
	table, _ := quoteTable(a.Table)
	var changes []change.Change
	var columns, marks []string
	var values []any
	for _, name := range slices.Sorted(maps.Keys(row)) {
		after.cells[name] = cellOf(row[name])
		changes = append(changes, change.Change{Target: a.target(), Action: change.Create, Field: name, After: a.shown(name, cellOf(row[name]))})
		column, _ := quoteName(name)
		value, _ := bound(row[name])
		columns, marks, values = append(columns, column), append(marks, "?"), append(values, value)
	}
	query := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
	return a.writeStep(server, changes, after, query, values)
}

// writeStep executes a statement that must change exactly one row.
func (a *MysqlExecArgs) writeStep(server *mysqlServer, changes []change.Change, after rowState, query string, values []any) Step {
	return act{changes: changes, do: func(ctx context.Context, host sys.Host, _ Result) error {
		err := host.Change().Resources().Make(ctx, a.rowKey(server), after, func(ctx context.Context) error {
			one := int64(1)
			_, err := server.write(ctx, host, query, values, &one)
			return err
		})
		if err != nil {
			return a.withoutSecrets(fmt.Errorf("writing %s: %w", a.target(), err))
		}
		return nil
	}}
}
