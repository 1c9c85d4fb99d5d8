package modules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// MysqlQueryArgs are the arguments of mysql_query.
type MysqlQueryArgs struct {
	MysqlLogin
	Query          any            `arg:"query,required" doc:"A query that only reads, or a list of such. With values, each %s or %(name)s in it stands for one, and %% for a percent sign."`
	PositionalArgs []any          `arg:"positional_args" doc:"The values for the %s, in order; for a single query."`
	NamedArgs      map[string]any `arg:"named_args" doc:"The values for the %(name)s, by name."`
	SecretColumns  []string       `arg:"secret_columns" doc:"Columns whose values are never shown."`
}

func mysqlQuerySpec() Spec {
	return Spec{
		Name:    "mysql_query",
		Aliases: []string{"community.mysql.mysql_query"},
		Summary: "Read rows of a MySQL or MariaDB database",
		Place:   OnHost,
		New:     func() Module { return &MysqlQueryArgs{} },
		Notes: []string{
			"It only reads, in check mode too: a statement that begins like one that writes is refused when the playbook is loaded, and the server holds the rest to reading. mysql_exec brings rows to wanted values and executes statements, with a condition that tells whether they are needed.",
			"The values are bound by the server and never become part of the text.",
		},
		Returns: []Return{
			{Name: "query_result", Type: "list", Doc: "For each query a list of its rows, each a mapping of columns."},
			{Name: "rowcount", Type: "list", Doc: "For each query how many rows."},
			{Name: "executed_queries", Type: "list", Doc: "The queries, without the values."},
		},
		Examples: []Example{{"The regions that are in use", `
mysql_query:
  container: rbd-db
  login_db: console
  query: SELECT region_name, tcpdomain FROM region_info WHERE status = %s
  positional_args: ["1"]
register: regions`}},
	}
}

// readingWords begin a statement that reads.
var readingWords = []string{"SELECT", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "WITH", "TABLE", "VALUES"}

var intoFile = lazy.Regexp(`(?i)\binto\s+(out|dump)file\b`)

// Validate wants queries that read, with values that fit.
func (a *MysqlQueryArgs) Validate() error {
	if a.PositionalArgs != nil && a.NamedArgs != nil {
		return errors.New("positional_args and named_args exclude each other")
	}
	if _, err := a.queries(); err != nil {
		return err
	}
	return a.validate()
}

// boundQuery is one query as the server gets it.
type boundQuery struct {
	shown, text string
	args        []any
}

func (a *MysqlQueryArgs) queries() ([]boundQuery, error) {
	list, many := a.Query.([]any)
	if !many {
		list = []any{a.Query}
	}
	if a.PositionalArgs != nil && len(list) != 1 {
		return nil, errors.New("positional_args go with a single query")
	}
	var all []boundQuery
	for _, one := range list {
		text, err := asString(one)
		if err != nil {
			return nil, fmt.Errorf("query: %w", err)
		}
		q, err := a.bind(text)
		if err != nil {
			return nil, fmt.Errorf("query: %w", err)
		}
		all = append(all, q)
	}
	return all, nil
}

func (a *MysqlQueryArgs) bind(text string) (boundQuery, error) {
	q := boundQuery{shown: text, text: text}
	word := strings.ToUpper(strings.TrimLeft(text, " \t\r\n("))
	if end := strings.IndexFunc(word, func(r rune) bool { return r < 'A' || r > 'Z' }); end >= 0 {
		word = word[:end]
	}
	if !slices.Contains(readingWords, word) || intoFile().MatchString(text) {
		return q, fmt.Errorf("%q does not only read; mysql_exec executes statements", text)
	}
	if a.PositionalArgs == nil && a.NamedArgs == nil {
		return q, nil
	}
	if strings.Contains(text, "?") {
		return q, errors.New("a question mark cannot stand in a query with values; make it a value too")
	}
	left := a.PositionalArgs
	var fault error
	q.text = placeholder().ReplaceAllStringFunc(text, func(found string) string {
		name, named := strings.CutPrefix(found, "%(")
		name = strings.TrimSuffix(name, ")s")
		switch value, given := a.NamedArgs[name]; {
		case found == "%%":
			return "%"
		case named && given:
			q.args = append(q.args, value)
		case found == "%s" && len(left) > 0:
			q.args, left = append(q.args, left[0]), left[1:]
		default:
			fault = fmt.Errorf("there is no value for %s; a percent sign is written %%%%", found)
		}
		return "?"
	})
	if fault == nil && len(left) > 0 {
		fault = fmt.Errorf("%d of positional_args are not used", len(left))
	}
	for i, value := range q.args {
		if _, err := bound(value); err != nil && fault == nil {
			fault = fmt.Errorf("value %d: %w", i+1, err)
		}
	}
	return q, fault
}

var placeholder = lazy.Regexp(`%(\(\w+\)s|s|%|)`)

// Plan asks; there is nothing to do.
func (a *MysqlQueryArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	queries, err := a.queries()
	if err != nil {
		return Plan{}, err
	}
	server, err := a.server(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	results, counts, shown := []any{}, []any{}, []any{}
	for _, q := range queries {
		one := MysqlExecArgs{MysqlLogin: a.MysqlLogin, Query: q.text, Args: q.args, SecretColumns: a.SecretColumns}
		plan, err := one.read(ctx, host, server)
		if err != nil {
			return Plan{}, err
		}
		results, counts, shown = append(results, plan.Result["query_result"]), append(counts, plan.Result["rowcount"]), append(shown, q.shown)
	}
	return Plan{Result: Result{"query_result": results, "rowcount": counts, "executed_queries": shown}}, nil
}
