package lazy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What is compiled when the program starts cannot be wrong unseen. What is compiled
// later is compiled here.
func TestEveryExpressionCompiles(t *testing.T) {
	calls := 0
	for _, folder := range []string{"cmd", "engine", "inventory", "modules", "playbooks"} {
		err := filepath.WalkDir(filepath.Join("..", "..", folder), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				calls += compile(t, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if calls == 0 {
		t.Error("there is no call of Regexp")
	}
}

// compile compiles what the calls in a file say, and gives their number.
func compile(t *testing.T, path string) (calls int) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && isRegexp(call.Fun) {
			calls++
			compiles(t, files.Position(call.Pos()), call.Args)
		}
		return true
	})
	return calls
}

func isRegexp(f ast.Expr) bool {
	selector, ok := f.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "Regexp" {
		return false
	}
	of, ok := selector.X.(*ast.Ident)
	return ok && of.Name == "lazy"
}

func compiles(t *testing.T, at token.Position, args []ast.Expr) {
	t.Helper()
	literal, ok := args[0].(*ast.BasicLit)
	if !ok {
		t.Errorf("%s: the expression is not written out, so that nobody knows whether it compiles", at)
		return
	}
	expression, err := strconv.Unquote(literal.Value)
	if err == nil {
		_, err = regexp.Compile(expression)
	}
	if err != nil {
		t.Errorf("%s: %v", at, err)
	}
}

func TestRegexpIsCompiledOnce(t *testing.T) {
	digits := Regexp(`^\d+$`)
	first, second := digits(), digits()
	if first != second || !digits().MatchString("12") || digits().MatchString("a") {
		t.Error("is not the same expression each time, or not the one that was given")
	}
}
