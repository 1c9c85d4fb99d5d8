package expression

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/vm"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Compile reads an expression, without its braces. at finds the place of a part
// of source in its file; nil is "no place known". The error is a
// diag.Diagnostic: a fault of syntax, or a filter, test, function or argument
// that does not exist.
func (e *Environment) Compile(source string, at diag.Locator) (*Expression, error) {
	return e.CompileWith(source, at, Settings{})
}

// Settings change how an expression is read.
type Settings struct {
	// Calls says which names may be called besides functions: the macros of the
	// template around the expression. nil means none.
	Calls func(name string) bool
	// LateCalls leaves functions that are not known to be looked up as variables
	// when they are called: a file may be included where a macro is known.
	LateCalls bool
	// LiteralBackslashes makes a backslash in a string stand for itself. Ansible
	// reads {{ }} in playbooks so, and neither conditions nor template files.
	LiteralBackslashes bool
}

// CompileCondition is Compile for when, until and their kin, which Ansible also
// accepts as one whole {{ expression }}.
func (e *Environment) CompileCondition(source string, at diag.Locator) (*Expression, error) {
	trimmed := strings.TrimSpace(source)
	inner, opened := strings.CutPrefix(trimmed, "{{")
	inner, closed := strings.CutSuffix(inner, "}}")
	if opened && closed && !strings.Contains(inner, "{{") {
		return e.CompileWith(inner, at.Shift(strings.Index(source, "{{")+2), Settings{LiteralBackslashes: true})
	}
	return e.Compile(source, at)
}

// CompileWith is Compile with other settings.
func (e *Environment) CompileWith(source string, at diag.Locator, settings Settings) (*Expression, error) {
	root, err := parse(source, settings.LiteralBackslashes)
	if err != nil {
		return nil, located(err, at)
	}
	l := &lowering{env: e, calls: settings.Calls, late: settings.LateCalls, names: map[string]bool{}}
	lowered, err := l.run(root)
	if err != nil {
		return nil, located(err, at)
	}
	program, err := compileTree(lowered)
	if err != nil {
		return nil, diag.New(at.At(0, len(source)), "the expression cannot be compiled: %v", err).WithCause(err)
	}
	return &Expression{
		source: source, at: at, env: e, program: program,
		names: slices.Sorted(maps.Keys(l.names)), root: root,
	}, nil
}

func located(err error, at diag.Locator) error {
	var fault *syntaxError
	if !errors.As(err, &fault) {
		return err
	}
	return diag.New(at.At(fault.start, fault.end), "%s", fault.message).WithHint(fault.hint)
}

// compileTree puts a finished tree in the place of a program's only node. expr
// has no door for trees; its patcher is the one it means for this.
func compileTree(tree ast.Node) (*vm.Program, error) {
	options := append(slices.Clone(operationOptions), expr.Patch(&rootPatch{tree: tree}))
	return expr.Compile("nil", options...)
}

type rootPatch struct {
	tree ast.Node
	done bool
}

// Visit implements ast.Visitor.
func (p *rootPatch) Visit(n *ast.Node) {
	if !p.done {
		p.done = true
		ast.Patch(n, p.tree)
	}
}

// lowering turns our tree into expr's.
type lowering struct {
	env       *Environment
	calls     func(name string) bool
	late      bool
	names     map[string]bool
	variables int
}

func (l *lowering) run(root *node) (tree ast.Node, err error) {
	defer func() {
		if fault, ok := recover().(*syntaxError); ok {
			err = fault
		}
	}()
	return l.lower(root), nil
}

// operation is a call of one of our functions, with the frame and the site.
func operation(name string, s *site, operands ...ast.Node) ast.Node {
	arguments := append([]ast.Node{&ast.IdentifierNode{Value: "$env"}, &ast.ConstantNode{Value: s}}, operands...)
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: arguments}
}

func siteOf(n *node) *site { return &site{start: n.start, end: n.end, node: n, name: n.name} }

func (l *lowering) lower(n *node) ast.Node {
	switch n.kind {
	case literalNode:
		return literal(n.value)
	case nameNode:
		l.names[n.name] = true
		return operation("·name", siteOf(n))
	case attributeNode:
		return operation("·attribute", siteOf(n), l.lower(n.children[0]))
	case subscriptNode:
		return operation("·subscript", siteOf(n), l.all(n.children)...)
	case sliceNode:
		return operation("·slice", siteOf(n), l.all(n.children)...)
	case callNode:
		return l.call(n)
	case filterNode:
		return l.filter(n)
	case testNode:
		return l.test(n)
	case unaryNode:
		return operation("·unary", siteOf(n), l.lower(n.children[0]))
	case binaryNode:
		return operation("·binary", siteOf(n), l.all(n.children)...)
	case comparisonNode:
		return l.comparison(n)
	case logicalNode:
		return l.logical(n)
	case conditionalNode:
		return l.conditional(n)
	case listNode:
		return operation("·list", siteOf(n), l.all(n.children)...)
	case dictNode:
		return operation("·dict", siteOf(n), l.all(n.children)...)
	}
	panic(fmt.Sprintf("expression: node of kind %d", n.kind))
}

func literal(value any) ast.Node {
	switch value := value.(type) {
	case nil:
		return &ast.NilNode{}
	case bool:
		return &ast.BoolNode{Value: value}
	default:
		return &ast.ConstantNode{Value: value}
	}
}

func (l *lowering) all(nodes []*node) []ast.Node {
	lowered := make([]ast.Node, len(nodes))
	for i, n := range nodes {
		lowered[i] = &ast.NilNode{}
		if n != nil {
			lowered[i] = l.lower(n)
		}
	}
	return lowered
}

// let computes a value once and hands it to body as often as needed.
func (l *lowering) let(value ast.Node, body func(use func() ast.Node) ast.Node) ast.Node {
	l.variables++
	name := fmt.Sprintf("·%d", l.variables)
	use := func() ast.Node { return &ast.IdentifierNode{Value: name} }
	return &ast.VariableDeclaratorNode{Name: name, Value: value, Expr: body(use)}
}

func choose(condition, then, otherwise ast.Node) ast.Node {
	return &ast.ConditionalNode{Ternary: true, Cond: condition, Exp1: then, Exp2: otherwise}
}

// logical is Python's and/or: the value that decided, not its truth. A left side
// that is not known decides, too.
func (l *lowering) logical(n *node) ast.Node {
	s := siteOf(n.children[0])
	return l.let(l.lower(n.children[0]), func(left func() ast.Node) ast.Node {
		if n.name == "and" {
			return choose(operation("·goesOn", s, left()), l.lower(n.children[1]), left())
		}
		return choose(operation("·stops", s, left()), left(), l.lower(n.children[1]))
	})
}

func (l *lowering) conditional(n *node) ast.Node {
	s := siteOf(n.children[1])
	otherwise := operation("·nothing", siteOf(n))
	if n.children[2] != nil {
		otherwise = l.lower(n.children[2])
	}
	return l.let(l.lower(n.children[1]), func(condition func() ast.Node) ast.Node {
		return choose(operation("·isUnknown", s, condition()), condition(),
			choose(operation("·goesOn", s, condition()), l.lower(n.children[0]), otherwise))
	})
}

// comparison lowers `a < b < c` to `a < b and b < c`, with b computed once.
func (l *lowering) comparison(n *node) ast.Node {
	return l.chain(n, n.value.([]string), l.lower(n.children[0]), n.children[1:])
}

func (l *lowering) chain(n *node, names []string, left ast.Node, rest []*node) ast.Node {
	s := siteOf(n)
	s.name = names[0]
	right := l.lower(rest[0])
	if len(names) == 1 {
		return operation("·compare", s, left, right)
	}
	return l.let(right, func(middle func() ast.Node) ast.Node {
		return l.let(operation("·compare", s, left, middle()), func(held func() ast.Node) ast.Node {
			return choose(operation("·goesOn", s, held()), l.chain(n, names[1:], middle(), rest[1:]), held())
		})
	})
}

// argumentList lowers a call's arguments into their operands; the site gets
// their names if any has one.
func (l *lowering) argumentList(s *site, args arguments) []ast.Node {
	if slices.ContainsFunc(args.names, func(name string) bool { return name != "" }) {
		s.names = args.names
	}
	return l.all(args.values)
}

// define looks a filter, test or function up and checks the call against its
// signature, as far as that can be done without the values.
func (l *lowering) define(what string, s *site, known map[string]*Definition, args arguments) {
	definition, ok := known[shortName(s.name)]
	if !ok {
		definition, ok = known[s.name]
	}
	if why, refused := later[what][shortName(s.name)]; !ok && refused {
		panic(&syntaxError{start: s.start, end: s.start + len(s.name), message: fmt.Sprintf("the %s %q is not supported yet", what, s.name), hint: why})
	}
	if !ok {
		panic(&syntaxError{
			start: s.start, end: s.start + len(s.name),
			message: fmt.Sprintf("there is no %s %q", what, s.name),
			hint:    diag.DidYouMean(shortName(s.name), slices.Collect(maps.Keys(known))),
		})
	}
	s.definition, s.name = definition, shortName(s.name)
	if slices.Contains(args.names, "*") || slices.Contains(args.names, "**") {
		return
	}
	err := definition.parameters.bind(&Call{}, make([]any, len(args.values)), named(args.names))
	if err == nil && definition.check != nil {
		err = definition.check(l.env, constants(args), keywordsOf(args))
	}
	if fault, ok := errors.AsType[*argumentError](err); ok {
		panic(&syntaxError{
			start: s.start, end: s.end,
			message: fmt.Sprintf("the %s %q: %s", what, s.name, fault.message), hint: fault.hint,
		})
	}
}

// constants are the positional arguments as far as they are literals.
func constants(args arguments) []any {
	var values []any
	for i, n := range args.values {
		if args.names[i] != "" {
			continue
		}
		value, err := constant(n)
		if err != nil {
			value = notConstant{}
		}
		values = append(values, value)
	}
	return values
}

// keywordsOf are the names of the keyword arguments.
func keywordsOf(args arguments) []string {
	return slices.DeleteFunc(slices.Clone(args.names), func(name string) bool { return name == "" })
}

func named(names []string) []string {
	if slices.ContainsFunc(names, func(name string) bool { return name != "" }) {
		return names
	}
	return nil
}

// shortName drops the collection of those that we have: ansible.builtin.bool.
func shortName(name string) string {
	for _, collection := range []string{"ansible.builtin.", "ansible.legacy.", "ansible.utils.", "ansible.netcommon."} {
		if short, ok := strings.CutPrefix(name, collection); ok {
			return short
		}
	}
	return name
}

func (l *lowering) filter(n *node) ast.Node {
	s := siteOf(n)
	l.define("filter", s, l.env.filters, n.arguments)
	operands := append([]ast.Node{l.lower(n.children[0])}, l.argumentList(s, n.arguments)...)
	return operation("·filter", s, operands...)
}

func (l *lowering) test(n *node) ast.Node {
	s := siteOf(n)
	l.define("test", s, l.env.tests, n.arguments)
	operands := append([]ast.Node{l.lower(n.children[0])}, l.argumentList(s, n.arguments)...)
	return operation("·test", s, operands...)
}

func (l *lowering) call(n *node) ast.Node {
	s := siteOf(n)
	callee := n.children[0]
	switch callee.kind {
	case nameNode:
		return l.callName(s, callee, n.arguments)
	case attributeNode:
		s.name = callee.name
		operands := append([]ast.Node{l.lower(callee.children[0])}, l.argumentList(s, n.arguments)...)
		return operation("·method", s, operands...)
	default:
		operands := append([]ast.Node{l.lower(callee)}, l.argumentList(s, n.arguments)...)
		return operation("·callValue", s, operands...)
	}
}

// callName lowers `name(…)`: what the template defines, then our functions, then
// expr's own.
func (l *lowering) callName(s *site, callee *node, args arguments) ast.Node {
	s.name = callee.name
	_, known := l.env.functions[s.name]
	switch {
	case l.calls != nil && l.calls(s.name), l.late && !known && exprFunction(s.name) == nil:
		operands := append([]ast.Node{l.lower(callee)}, l.argumentList(s, args)...)
		return operation("·callValue", s, operands...)
	case !known && exprFunction(s.name) != nil:
		operands := l.argumentList(s, args)
		if s.names != nil {
			panic(&syntaxError{start: s.start, end: s.end, message: fmt.Sprintf("the function %q takes no keyword arguments", s.name)})
		}
		return operation("·exprFunction", s, operands...)
	default:
		l.define("function", s, l.env.functions, args)
		return operation("·function", s, l.argumentList(s, args)...)
	}
}

// exprFunction is one of expr's own functions, or nil. Those that take a
// predicate need expr's syntax and are not among them.
func exprFunction(name string) *builtin.Function {
	i, ok := builtin.Index[name]
	if !ok || builtin.Builtins[i].Predicate {
		return nil
	}
	return builtin.Builtins[i]
}
