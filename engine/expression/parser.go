package expression

import (
	"fmt"
	"slices"
	"strings"
)

// node is a part of an expression as Jinja2's grammar has it.
type node struct {
	kind       nodeKind
	start, end int    // byte offsets
	name       string // of a name, attribute, operator, filter or test
	value      any    // of a literal
	children   []*node
	arguments  arguments // of calls, filters and tests
	negated    bool      // is not
}

type nodeKind int

const (
	literalNode     nodeKind = iota
	nameNode                 // name
	attributeNode            // child.name
	subscriptNode            // child[child]
	sliceNode                // child[child:child:child]; missing ones are nil
	callNode                 // child(arguments)
	filterNode               // child | name(arguments)
	testNode                 // child is name(arguments)
	unaryNode                // name child
	binaryNode               // child name child
	comparisonNode           // child operator child operator child …; names in value.([]string)
	logicalNode              // child and/or child
	conditionalNode          // child if child else child; the last may be nil
	listNode                 // [children]; a tuple is one too
	dictNode                 // {child: child, …}
)

// arguments are those of a call, in the order written.
type arguments struct {
	values []*node
	names  []string // "" positional, "*" and "**" spread, otherwise the keyword
}

// mostDepth bounds brackets within brackets. Python's own limit is near 100.
const mostDepth = 150

type parser struct {
	tokens []token
	at     int
	depth  int
}

// parse reads a whole expression; literal is Settings.LiteralBackslashes. Faults are *syntaxError; they travel as panics
// inside the parser, since every function of the grammar may meet one.
func parse(source string, literal bool) (root *node, err error) {
	tokens, err := lex(source, literal)
	if err != nil {
		return nil, err
	}
	defer func() {
		if fault, ok := recover().(*syntaxError); ok {
			root, err = nil, fault
		}
	}()
	p := &parser{tokens: tokens}
	if strings.HasPrefix(strings.TrimSpace(source), "{{") {
		p.fail(token{end: len(source)}, "an expression is written here without {{ }}", "")
	}
	if p.peek().kind == endToken {
		p.fail(p.peek(), "the expression is empty", "")
	}
	root = p.tuple()
	if t := p.peek(); t.kind != endToken {
		p.unexpected(t)
	}
	return root, nil
}

func (p *parser) fail(t token, message, hint string) {
	panic(&syntaxError{start: t.start, end: t.end, message: message, hint: hint})
}

func (p *parser) unexpected(t token) {
	hint := ""
	switch {
	case t.kind == operatorToken && t.text == "=":
		hint = "write == to compare"
	case t.kind == nameToken && p.at > 0 && p.tokens[p.at-1].kind == nameToken:
		hint = "an operator is missing between two names"
	}
	p.fail(t, "unexpected "+t.String(), hint)
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) take() token {
	t := p.tokens[p.at]
	if t.kind != endToken {
		p.at++
	}
	return t
}

func (p *parser) isOperator(texts ...string) bool {
	t := p.peek()
	return t.kind == operatorToken && slices.Contains(texts, t.text)
}

func (p *parser) isWord(word string) bool {
	t := p.peek()
	return t.kind == nameToken && t.text == word
}

// accept takes the operator if it is next.
func (p *parser) accept(operator string) bool {
	if !p.isOperator(operator) {
		return false
	}
	p.at++
	return true
}

func (p *parser) acceptWord(word string) bool {
	if !p.isWord(word) {
		return false
	}
	p.at++
	return true
}

func (p *parser) expect(operator string) token {
	t := p.peek()
	if !p.isOperator(operator) {
		p.fail(t, fmt.Sprintf("expected '%s', found %s", operator, t), "")
	}
	return p.take()
}

func (p *parser) deeper() {
	if p.depth++; p.depth > mostDepth {
		p.fail(p.peek(), fmt.Sprintf("nested more than %d levels deep", mostDepth), "")
	}
}

func join(kind nodeKind, name string, children ...*node) *node {
	n := &node{kind: kind, name: name, children: children, start: children[0].start}
	for _, child := range children {
		if child != nil {
			n.start, n.end = min(n.start, child.start), max(n.end, child.end)
		}
	}
	return n
}

// tuple is `a` or `a, b, …`.
func (p *parser) tuple() *node {
	first := p.expression()
	if !p.isOperator(",") {
		return first
	}
	list := &node{kind: listNode, start: first.start, end: first.end, children: []*node{first}}
	for p.accept(",") {
		if t := p.peek(); t.kind == endToken || p.isOperator(")", "]", "}") {
			break
		}
		item := p.expression()
		list.children, list.end = append(list.children, item), item.end
	}
	return list
}

func (p *parser) expression() *node {
	p.deeper()
	defer func() { p.depth-- }()
	n := p.or()
	for p.acceptWord("if") {
		condition := p.or()
		var otherwise *node
		if p.acceptWord("else") {
			otherwise = p.expression()
		}
		n = join(conditionalNode, "if", n, condition, otherwise)
	}
	return n
}

func (p *parser) or() *node {
	n := p.and()
	for p.acceptWord("or") {
		n = join(logicalNode, "or", n, p.and())
	}
	return n
}

func (p *parser) and() *node {
	n := p.not()
	for p.acceptWord("and") {
		n = join(logicalNode, "and", n, p.not())
	}
	return n
}

func (p *parser) not() *node {
	t := p.peek()
	if !p.acceptWord("not") {
		return p.comparison()
	}
	p.deeper()
	defer func() { p.depth-- }()
	n := join(unaryNode, "not", p.not())
	n.start = t.start
	return n
}

func (p *parser) comparison() *node {
	first := p.sum()
	var names []string
	children := []*node{first}
	for {
		name, ok := p.comparator()
		if !ok {
			break
		}
		names = append(names, name)
		children = append(children, p.sum())
	}
	if names == nil {
		return first
	}
	n := join(comparisonNode, names[0], children...)
	n.value = names
	return n
}

func (p *parser) comparator() (string, bool) {
	switch {
	case p.isOperator("==", "!=", "<", "<=", ">", ">="):
		return p.take().text, true
	case p.acceptWord("in"):
		return "in", true
	case p.isWord("not") && p.at+1 < len(p.tokens) && p.tokens[p.at+1].kind == nameToken && p.tokens[p.at+1].text == "in":
		p.at += 2
		return "not in", true
	}
	return "", false
}

func (p *parser) binary(operand func() *node, operators ...string) *node {
	n := operand()
	for p.isOperator(operators...) {
		operator := p.take().text
		n = join(binaryNode, operator, n, operand())
	}
	return n
}

func (p *parser) sum() *node     { return p.binary(p.concat, "+", "-") }
func (p *parser) concat() *node  { return p.binary(p.product, "~") }
func (p *parser) product() *node { return p.binary(p.power, "*", "/", "//", "%") }
func (p *parser) power() *node   { return p.binary(func() *node { return p.unary(true) }, "**") }

func (p *parser) unary(filters bool) *node {
	t := p.peek()
	var n *node
	if p.isOperator("-", "+") {
		p.take()
		p.deeper()
		n = join(unaryNode, t.text, p.unary(false))
		n.start = t.start
		p.depth--
	} else {
		n = p.postfix(p.primary())
	}
	if filters {
		n = p.filters(n)
	}
	return n
}

func (p *parser) primary() *node {
	t := p.take()
	n := &node{kind: literalNode, start: t.start, end: t.end}
	switch t.kind {
	case intToken, floatToken:
		n.value = t.number
	case stringToken:
		text := t.text
		for p.peek().kind == stringToken { // 'a' 'b' is one string, as in Python
			next := p.take()
			text, n.end = text+next.text, next.end
		}
		n.value = text
	case nameToken:
		p.word(n, t)
	case operatorToken:
		p.bracket(n, t)
	case endToken:
		p.fail(t, "the expression ends too early", "")
	}
	return n
}

// reserved words cannot be names.
var reserved = []string{"and", "or", "not", "if", "else", "in", "is"}

func (p *parser) word(n *node, t token) {
	switch t.text {
	case "true", "True":
		n.value = true
	case "false", "False":
		n.value = false
	case "none", "None":
		n.value = nil
	default:
		if slices.Contains(reserved, t.text) {
			p.at--
			p.fail(t, fmt.Sprintf("expected a value, found '%s'", t.text), "")
		}
		n.kind, n.name = nameNode, t.text
	}
}

func (p *parser) bracket(n *node, t token) {
	switch t.text {
	case "(":
		p.parenthesis(n)
	case "[":
		n.kind = listNode
		n.children, n.end = p.items("]")
	case "{":
		n.kind = dictNode
		p.pairs(n)
	default:
		p.at--
		p.unexpected(t)
	}
}

func (p *parser) parenthesis(n *node) {
	if p.isOperator(")") {
		n.kind, n.end = listNode, p.take().end
		return
	}
	start := n.start
	*n = *p.tuple()
	n.start, n.end = start, p.expect(")").end
}

func (p *parser) items(closing string) ([]*node, int) {
	var items []*node
	for !p.isOperator(closing) {
		items = append(items, p.expression())
		if !p.accept(",") {
			break
		}
	}
	return items, p.expect(closing).end
}

func (p *parser) pairs(n *node) {
	for !p.isOperator("}") {
		key := p.expression()
		p.expect(":")
		n.children = append(n.children, key, p.expression())
		if !p.accept(",") {
			break
		}
	}
	n.end = p.expect("}").end
}

func (p *parser) postfix(n *node) *node {
	for {
		switch {
		case p.isOperator("."):
			n = p.attribute(n)
		case p.isOperator("["):
			n = p.subscript(n)
		case p.isOperator("("):
			n = p.call(n)
		default:
			return n
		}
	}
}

func (p *parser) attribute(n *node) *node {
	p.take()
	t := p.take()
	switch t.kind {
	case nameToken:
		return &node{kind: attributeNode, name: t.text, children: []*node{n}, start: n.start, end: t.end}
	case intToken:
		index := &node{kind: literalNode, value: t.number, start: t.start, end: t.end}
		return &node{kind: subscriptNode, children: []*node{n, index}, start: n.start, end: t.end}
	case endToken, stringToken, floatToken, operatorToken:
	}
	p.fail(t, fmt.Sprintf("expected a name after '.', found %s", t), "")
	return nil
}

func (p *parser) subscript(n *node) *node {
	p.take()
	var parts [3]*node
	colons := 0
	for !p.isOperator("]") {
		if p.accept(":") {
			if colons++; colons > 2 {
				p.fail(p.peek(), "a slice has at most three parts", "")
			}
			continue
		}
		if parts[colons] != nil || p.peek().kind == endToken {
			break
		}
		parts[colons] = p.tuple()
	}
	closing := p.expect("]")
	if colons == 0 {
		if parts[0] == nil {
			p.fail(closing, "an index is missing", "")
		}
		return &node{kind: subscriptNode, children: []*node{n, parts[0]}, start: n.start, end: closing.end}
	}
	return &node{kind: sliceNode, children: append([]*node{n}, parts[:]...), start: n.start, end: closing.end}
}

func (p *parser) call(n *node) *node {
	c := &node{kind: callNode, children: []*node{n}, start: n.start}
	c.arguments, c.end = p.callArguments()
	return c
}

func (p *parser) callArguments() (arguments, int) {
	p.expect("(")
	var args arguments
	for !p.isOperator(")") {
		at := p.peek()
		name := p.argumentName()
		if name == "" && slices.ContainsFunc(args.names, func(n string) bool { return n != "" && n != "*" }) {
			p.fail(at, "a positional argument follows a keyword argument", "")
		}
		if name != "" && name != "*" && name != "**" && slices.Contains(args.names, name) {
			p.fail(at, fmt.Sprintf("the argument %q is given twice", name), "")
		}
		args.names = append(args.names, name)
		args.values = append(args.values, p.expression())
		if !p.accept(",") {
			break
		}
	}
	return args, p.expect(")").end
}

func (p *parser) argumentName() string {
	switch {
	case p.accept("**"):
		return "**"
	case p.accept("*"):
		return "*"
	}
	next := p.tokens[min(p.at+1, len(p.tokens)-1)]
	if t := p.peek(); t.kind == nameToken && next.kind == operatorToken && next.text == "=" {
		p.at += 2
		return t.text
	}
	return ""
}

func (p *parser) filters(n *node) *node {
	for {
		switch {
		case p.accept("|"):
			n = p.filter(n)
		case p.isWord("is"):
			n = p.test(n)
		case p.isOperator("("):
			n = p.call(n)
		default:
			return n
		}
	}
}

// qualifiedName is a filter's or test's name, with its collection if given.
func (p *parser) qualifiedName(what string) token {
	t := p.take()
	if t.kind != nameToken {
		p.fail(t, fmt.Sprintf("expected the name of a %s, found %s", what, t), "")
	}
	for p.isOperator(".") && p.tokens[min(p.at+1, len(p.tokens)-1)].kind == nameToken {
		p.take()
		part := p.take()
		t.text, t.end = t.text+"."+part.text, part.end
	}
	return t
}

func (p *parser) filter(input *node) *node {
	name := p.qualifiedName("filter")
	n := &node{kind: filterNode, name: name.text, children: []*node{input}, start: name.start, end: name.end}
	if p.isOperator("(") {
		n.arguments, n.end = p.callArguments()
	}
	return n
}

// test reads `is name`, `is name(arguments)` and `is name argument`.
func (p *parser) test(input *node) *node {
	p.take()
	negated := p.acceptWord("not")
	name := p.qualifiedName("test")
	n := &node{kind: testNode, name: name.text, negated: negated, children: []*node{input}, start: name.start, end: name.end}
	switch {
	case p.isOperator("("):
		n.arguments, n.end = p.callArguments()
	case p.startsArgument():
		argument := p.postfix(p.primary())
		n.arguments = arguments{values: []*node{argument}, names: []string{""}}
		n.end = argument.end
	}
	return n
}

func (p *parser) startsArgument() bool {
	t := p.peek()
	switch t.kind {
	case nameToken:
		return !slices.Contains(reserved, t.text)
	case stringToken, intToken, floatToken:
		return true
	case operatorToken:
		return t.text == "[" || t.text == "{"
	case endToken:
	}
	return false
}
