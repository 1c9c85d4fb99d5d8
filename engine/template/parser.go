package template

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/lazy"
)

// parser makes nodes of parts. Expressions are compiled when all parts are read:
// only then is it known which names the template defines itself.
type parser struct {
	env     *expression.Environment
	at      diag.Locator
	options Options
	parts   []part
	pos     int
	depth   int
	pending []pendingExpression
	defined map[string]bool // names that the template makes: they may be called
	used    map[string]bool // names that its expressions read
	blocks  map[string]*namedBlock
	extends bool
}

// pendingExpression is an expression still to be compiled.
type pendingExpression struct {
	source string
	at     diag.Locator
	into   **expression.Expression
	output bool // within {{ }}
}

// mostDepth bounds statements within statements.
const mostDepth = 100

var name = lazy.Regexp(`^[\pL_][\pL\pN_]*$`)

// statement is a {% %} cut into its keyword and what follows.
type statement struct {
	part
	keyword string
	rest    string // behind the keyword
	offset  int    // of rest in the template
}

func (p *parser) statement(from part) statement {
	lead := len(from.text) - len(strings.TrimLeft(from.text, " \t\r\n"))
	body := from.text[lead:]
	end := strings.IndexFunc(body, func(r rune) bool { return !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') })
	if end < 0 {
		end = len(body)
	}
	return statement{part: from, keyword: body[:end], rest: body[end:], offset: from.start + lead + end}
}

func (p *parser) fail(s statement, format string, args ...any) diag.Diagnostic {
	return diag.New(p.at.At(s.start, max(s.start, s.start+len(strings.TrimRight(s.text, " \t\r\n")))), format, args...)
}

// expression notes an expression for compiling.
func (p *parser) expression(source string, offset int, into **expression.Expression) {
	p.pending = append(p.pending, pendingExpression{source: source, at: p.at.Shift(offset), into: into})
}

// compile compiles what was noted; all faults come at once.
func (p *parser) compile() error {
	var faults diag.List
	calls := func(name string) bool { return p.defined[name] }
	for _, pending := range p.pending {
		compiled, err := p.env.CompileWith(pending.source, pending.at, expression.Settings{
			Calls: calls, LateCalls: p.options.Files != nil, LiteralBackslashes: pending.output && !p.options.Escapes,
		})
		if err != nil {
			faults.AddError(pending.at.At(0, len(pending.source)), err)
			continue
		}
		*pending.into = compiled
		for _, name := range compiled.Variables() {
			p.used[name] = true
		}
	}
	return faults.ErrorOrNil()
}

// body reads nodes up to one of the closing keywords, which it returns. Without
// closing keywords it reads to the end.
func (p *parser) body(opened *statement, closing ...string) ([]renderer, statement, error) {
	if p.depth++; p.depth > mostDepth {
		return nil, statement{}, p.fail(*opened, "nested more than %d levels deep", mostDepth)
	}
	defer func() { p.depth-- }()
	var nodes []renderer
	for p.pos < len(p.parts) {
		current := p.parts[p.pos]
		p.pos++
		switch current.kind {
		case textPart:
			nodes = append(nodes, textNode(current.text))
		case outputPart:
			output := &outputNode{}
			p.expression(current.text, current.start, &output.expression)
			p.pending[len(p.pending)-1].output = true
			nodes = append(nodes, output)
		case statementPart:
			s := p.statement(current)
			if slices.Contains(closing, s.keyword) {
				return nodes, s, p.nothingBehind(s)
			}
			node, err := p.parseStatement(s, closing)
			if err != nil {
				return nil, s, err
			}
			if node != nil {
				nodes = append(nodes, node)
			}
		}
	}
	if opened != nil {
		return nil, statement{}, p.fail(*opened, "'%s' is not closed", opened.keyword).
			WithHint(fmt.Sprintf("{%% %s %%} is missing", closing[len(closing)-1]))
	}
	return nodes, statement{}, nil
}

// nothingBehind refuses text behind the keywords that stand alone. An endblock
// may repeat its name.
func (p *parser) nothingBehind(s statement) error {
	if s.keyword == "elif" || s.keyword == "endblock" || s.keyword == "endmacro" || strings.TrimSpace(s.rest) == "" {
		return nil
	}
	return p.fail(s, "'%s' takes nothing behind it", s.keyword)
}

// refused statements are Jinja's and not Ansible's, or not supported here.
var refused = map[string]string{
	"do":         "Ansible does not enable this extension",
	"break":      "Ansible does not enable this extension",
	"continue":   "Ansible does not enable this extension",
	"trans":      "Ansible does not enable this extension",
	"debug":      "Ansible does not enable this extension",
	"autoescape": "nothing is escaped here; use the filter escape where it is wanted",
}

var keywords = []string{"for", "if", "set", "macro", "call", "filter", "with", "block", "extends", "include", "import", "from", "raw"}

func (p *parser) parseStatement(s statement, closing []string) (renderer, error) {
	switch s.keyword {
	case "for":
		return p.parseFor(s)
	case "if":
		return p.parseIf(s)
	case "set":
		return p.parseSet(s)
	case "macro":
		return p.parseMacro(s)
	case "call":
		return p.parseCall(s)
	case "filter":
		return p.parseFilter(s)
	case "with":
		return p.parseWith(s)
	case "block":
		return p.parseBlock(s)
	case "extends":
		return p.parseExtends(s)
	case "include":
		return p.parseInclude(s)
	case "import":
		return p.parseImport(s)
	case "from":
		return p.parseFrom(s)
	case "":
		return nil, p.fail(s, "a statement begins with a keyword").WithHint("write {{ }} for an expression")
	}
	if why, ok := refused[s.keyword]; ok {
		return nil, p.fail(s, "the statement '%s' is not supported", s.keyword).WithHint(why)
	}
	if strings.HasPrefix(s.keyword, "end") || s.keyword == "else" || s.keyword == "elif" {
		d := p.fail(s, "'%s' closes nothing here", s.keyword)
		if len(closing) > 0 {
			d = d.WithHint("expected " + strings.Join(closing, " or "))
		}
		return nil, d
	}
	return nil, p.fail(s, "there is no statement '%s'", s.keyword).WithHint(diag.DidYouMean(s.keyword, keywords))
}

// words cuts the rest of a statement; offsets are within rest.
func (p *parser) words(s statement) ([]expression.Word, error) {
	words, err := expression.Words(s.rest)
	if err != nil {
		return nil, p.fail(s, "%s", err.Error())
	}
	return words, nil
}

// keywordAt finds a keyword outside brackets.
func keywordAt(words []expression.Word, from int, keyword string) int {
	for i := from; i < len(words); i++ {
		if words[i].Name && words[i].Depth == 0 && words[i].Text == keyword {
			return i
		}
	}
	return -1
}

// targets reads `a`, `a, b` or `(a, b)`.
func (p *parser) targets(s statement, words []expression.Word) ([]string, error) {
	var names []string
	for i, word := range words {
		switch {
		case word.Name && name().MatchString(word.Text):
			names = append(names, word.Text)
			p.defined[word.Text] = true
		case word.Text == "," || i == 0 && word.Text == "(" || i == len(words)-1 && word.Text == ")":
		default:
			return nil, p.fail(s, "expected a name to set, found '%s'", word.Text)
		}
	}
	if len(names) == 0 {
		return nil, p.fail(s, "a name to set is missing")
	}
	return names, nil
}

func (p *parser) parseFor(s statement) (renderer, error) {
	words, err := p.words(s)
	if err != nil {
		return nil, err
	}
	in := keywordAt(words, 0, "in")
	if in < 0 {
		return nil, p.fail(s, "'in' is missing").WithHint("{% for item in list %}")
	}
	node := &forNode{at: p.at.At(s.start, s.end)}
	if node.targets, err = p.targets(s, words[:in]); err != nil {
		return nil, err
	}
	end := len(s.rest)
	if last := words[len(words)-1]; last.Name && last.Text == "recursive" && len(words) > in+2 {
		node.recursive, end = true, last.Start
		p.defined["loop"] = true
	}
	if condition := keywordAt(words, in, "if"); condition > 0 {
		from := words[condition].End
		p.expression(s.rest[from:end], s.offset+from, &node.condition)
		end = words[condition].Start
	}
	p.expression(s.rest[words[in].End:end], s.offset+words[in].End, &node.items)
	body, closer, err := p.body(&s, "else", "endfor")
	if err != nil {
		return nil, err
	}
	node.body = body
	if closer.keyword == "else" {
		if node.otherwise, _, err = p.body(&s, "endfor"); err != nil {
			return nil, err
		}
	}
	return node, nil
}

func (p *parser) parseIf(s statement) (renderer, error) {
	node := &ifNode{}
	current := s
	for {
		branch := ifBranch{}
		if current.keyword != "else" {
			branch.condition = new(*expression.Expression)
			p.expression(current.rest, current.offset, branch.condition)
		}
		closing := []string{"elif", "else", "endif"}
		if current.keyword == "else" {
			closing = []string{"endif"}
		}
		body, closer, err := p.body(&s, closing...)
		if err != nil {
			return nil, err
		}
		branch.body = body
		node.branches = append(node.branches, branch)
		if closer.keyword == "endif" {
			return node, nil
		}
		current = closer
	}
}

func (p *parser) parseSet(s statement) (renderer, error) {
	words, err := p.words(s)
	if err != nil {
		return nil, err
	}
	equals := slices.IndexFunc(words, func(w expression.Word) bool { return w.Text == "=" && w.Depth == 0 })
	if equals < 0 {
		return p.parseBlockSet(s, words)
	}
	node := &setNode{at: p.at.At(s.start, s.end)}
	target := words[:equals]
	if len(target) == 3 && target[1].Text == "." {
		node.namespace, node.targets = target[0].Text, []string{target[2].Text}
	} else if node.targets, err = p.targets(s, target); err != nil {
		return nil, err
	}
	p.expression(s.rest[words[equals].End:], s.offset+words[equals].End, &node.value)
	return node, nil
}

// parseBlockSet reads {% set name %}…{% endset %}, perhaps with filters.
func (p *parser) parseBlockSet(s statement, words []expression.Word) (renderer, error) {
	if len(words) == 0 {
		return nil, p.fail(s, "a name to set is missing")
	}
	node := &blockNode{}
	targets, err := p.targets(s, words[:1])
	if err != nil {
		return nil, err
	}
	node.target = targets[0]
	if len(words) > 1 {
		if words[1].Text != "|" {
			return nil, p.fail(s, "expected '=' behind '%s', found '%s'", words[0].Text, words[1].Text)
		}
		p.filtered(s, words[1].End, &node.filter)
	}
	node.body, _, err = p.body(&s, "endset")
	return node, err
}

// bodyName is the variable under which a filter finds the text it works on.
const bodyName = "__body"

// filtered notes the filters that begin at an offset of the statement's rest.
func (p *parser) filtered(s statement, from int, into **expression.Expression) {
	const prefix = bodyName + " | "
	p.expression(prefix+s.rest[from:], s.offset+from-len(prefix), into)
}

func (p *parser) parseFilter(s statement) (renderer, error) {
	node := &blockNode{}
	p.filtered(s, 0, &node.filter)
	var err error
	node.body, _, err = p.body(&s, "endfilter")
	return node, err
}

func (p *parser) parseBlock(s statement) (renderer, error) {
	fields := strings.Fields(s.rest)
	if len(fields) == 0 || !name().MatchString(fields[0]) {
		return nil, p.fail(s, "a block needs a name")
	}
	block := &namedBlock{name: fields[0], at: p.at.At(s.start, s.end)}
	for _, word := range fields[1:] {
		switch word {
		case "scoped":
			block.scoped = true
		case "required":
			block.required = true
		default:
			return nil, p.fail(s, "unexpected '%s' behind the block's name", word)
		}
	}
	if p.blocks[block.name] != nil {
		return nil, p.fail(s, "the block '%s' is there twice", block.name)
	}
	p.blocks[block.name] = block
	p.defined["super"], p.defined["self"] = true, true
	var err error
	block.body, _, err = p.body(&s, "endblock")
	return block, err
}

func (p *parser) parseExtends(s statement) (renderer, error) {
	switch err := p.needFiles(s); {
	case err != nil:
		return nil, err
	case p.depth > 1:
		return nil, p.fail(s, "'extends' within another statement is not supported").WithHint("write it at the top of the template")
	case p.extends:
		return nil, p.fail(s, "the template extends another one already")
	case strings.TrimSpace(s.rest) == "":
		return nil, p.fail(s, "the name of a template is missing")
	}
	p.extends = true
	node := &extendsNode{at: p.at.At(s.start, s.end)}
	p.expression(s.rest, s.offset, &node.name)
	return node, nil
}

func (p *parser) parseWith(s statement) (renderer, error) {
	node := &withNode{}
	words, err := p.words(s)
	if err != nil {
		return nil, err
	}
	for len(words) > 0 {
		end := slices.IndexFunc(words, func(w expression.Word) bool { return w.Text == "," && w.Depth == 0 })
		if end < 0 {
			end = len(words)
		}
		if len(words) < 3 || words[1].Text != "=" || !words[0].Name {
			return nil, p.fail(s, "'with' takes name = value")
		}
		p.defined[words[0].Text] = true
		binding := &withBinding{name: words[0].Text}
		from, to := words[1].End, words[end-1].End
		p.expression(s.rest[from:to], s.offset+from, &binding.value)
		node.bindings = append(node.bindings, binding)
		words = words[min(end+1, len(words)):]
	}
	node.body, _, err = p.body(&s, "endwith")
	return node, err
}

// parameterList reads `(a, b=1)` at the start of words.
func (p *parser) parameterList(s statement, words []expression.Word) (*macro, int, error) {
	m := &macro{}
	i := 1
	for i < len(words) && words[i].Depth > 0 {
		if !words[i].Name {
			return nil, 0, p.fail(s, "expected a parameter's name, found '%s'", words[i].Text)
		}
		parameter := &parameter{name: words[i].Text}
		p.defined[parameter.name] = true
		end := i + 1
		for end < len(words) && words[end].Depth > 0 && (words[end].Text != "," || words[end].Depth != 1) {
			end++
		}
		if end > i+1 {
			if words[i+1].Text != "=" || end == i+2 {
				return nil, 0, p.fail(s, "expected ',' or '=' behind '%s'", parameter.name)
			}
			from, to := words[i+1].End, words[end-1].End
			p.expression(s.rest[from:to], s.offset+from, &parameter.value)
		}
		m.parameters = append(m.parameters, parameter)
		i = end
		if i < len(words) && words[i].Text == "," {
			i++
		}
	}
	if i >= len(words) || words[i].Text != ")" {
		return nil, 0, p.fail(s, "')' is missing")
	}
	return m, i + 1, nil
}

func (p *parser) parseMacro(s statement) (renderer, error) {
	words, err := p.words(s)
	if err != nil {
		return nil, err
	}
	if len(words) < 3 || !words[0].Name || words[1].Text != "(" {
		return nil, p.fail(s, "a macro is written {%% macro name(parameters) %%}")
	}
	m, end, err := p.parameterList(s, words[1:])
	if err != nil {
		return nil, err
	}
	if end != len(words)-1 {
		return nil, p.fail(s, "unexpected '%s' behind the parameters", words[end+1].Text)
	}
	m.name = words[0].Text
	p.defined[m.name], p.defined["caller"] = true, true
	m.body, _, err = p.body(&s, "endmacro")
	return &macroNode{macro: m}, err
}

func (p *parser) parseCall(s statement) (renderer, error) {
	words, err := p.words(s)
	if err != nil {
		return nil, err
	}
	caller, from := &macro{name: "caller"}, 0
	if len(words) > 0 && words[0].Text == "(" {
		var end int
		if caller, end, err = p.parameterList(s, words); err != nil {
			return nil, err
		}
		caller.name, from = "caller", words[end-1].End
	}
	node := &callNode{caller: caller}
	p.expression(s.rest[from:], s.offset+from, &node.call)
	caller.body, _, err = p.body(&s, "endcall")
	return node, err
}

// contextWords reads `with context`, `without context` and `ignore missing` off
// the end of the words.
func contextWords(words []expression.Word) (rest []expression.Word, context *bool, ignoreMissing bool) {
	ends := func(first, second string) bool {
		n := len(words)
		return n > 2 && words[n-2].Name && words[n-2].Text == first && words[n-1].Text == second
	}
	for {
		switch {
		case ends("with", "context"), ends("without", "context"):
			with := words[len(words)-2].Text == "with"
			context = &with
		case ends("ignore", "missing"):
			ignoreMissing = true
		default:
			return words, context, ignoreMissing
		}
		words = words[:len(words)-2]
	}
}

func (p *parser) needFiles(s statement) error {
	if p.options.Files == nil {
		return p.fail(s, "'%s' works only in template files", s.keyword)
	}
	return nil
}

func (p *parser) parseInclude(s statement) (renderer, error) {
	words, err := p.words(s)
	if err == nil {
		err = p.needFiles(s)
	}
	if err != nil {
		return nil, err
	}
	rest, context, ignore := contextWords(words)
	if len(rest) == 0 {
		return nil, p.fail(s, "the name of a template is missing")
	}
	node := &includeNode{at: p.at.At(s.start, s.end), ignoreMissing: ignore, withContext: context == nil || *context}
	p.expression(s.rest[:rest[len(rest)-1].End], s.offset, &node.name)
	return node, nil
}

func (p *parser) parseImport(s statement) (renderer, error) {
	words, err := p.words(s)
	if err == nil {
		err = p.needFiles(s)
	}
	if err != nil {
		return nil, err
	}
	rest, context, _ := contextWords(words)
	as := keywordAt(rest, 0, "as")
	if as < 1 || as != len(rest)-2 {
		return nil, p.fail(s, "an import is written {%% import 'file' as name %%}")
	}
	node := &importNode{at: p.at.At(s.start, s.end), module: rest[as+1].Text, withContext: context != nil && *context}
	p.defined[node.module] = true
	p.expression(s.rest[:rest[as].Start], s.offset, &node.name)
	return node, nil
}

func (p *parser) parseFrom(s statement) (renderer, error) {
	words, err := p.words(s)
	if err == nil {
		err = p.needFiles(s)
	}
	if err != nil {
		return nil, err
	}
	rest, context, _ := contextWords(words)
	at := keywordAt(rest, 0, "import")
	if at < 1 {
		return nil, p.fail(s, "an import is written {%% from 'file' import name %%}")
	}
	node := &importNode{at: p.at.At(s.start, s.end), withContext: context != nil && *context}
	p.expression(s.rest[:rest[at].Start], s.offset, &node.name)
	for i := at + 1; i < len(rest); i++ {
		imported := importedName{from: rest[i].Text, as: rest[i].Text}
		if !rest[i].Name {
			return nil, p.fail(s, "expected a name to import, found '%s'", rest[i].Text)
		}
		if i+2 < len(rest) && rest[i+1].Text == "as" {
			imported.as = rest[i+2].Text
			i += 2
		}
		p.defined[imported.as] = true
		node.names = append(node.names, imported)
		if i++; i < len(rest) && rest[i].Text != "," {
			return nil, p.fail(s, "expected ',', found '%s'", rest[i].Text)
		}
	}
	if len(node.names) == 0 {
		return nil, p.fail(s, "the names to import are missing")
	}
	return node, nil
}
