package play

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// Prompt is one entry of `vars_prompt:`: a variable that a person is asked for.
type Prompt struct {
	Name    string
	Range   diag.Range
	Text    *Setting[string] // what to ask; nil: the name
	Default *Setting[string] // of an empty answer, and when nobody can be asked; nil: none
	Private *Setting[bool]   // the answer is not shown while it is typed; nil: yes
	Confirm *Setting[bool]   // it has to be typed twice
	Unsafe  *Setting[bool]   // the answer is no template

	env   *expression.Environment
	crypt *expression.Expression // of encrypt; it sees the answer as "answer"
}

var promptKeys = []string{"name", "prompt", "default", "private", "confirm", "encrypt", "salt", "salt_size", "unsafe"}

// cryptKinds are the names that encrypt: has for the kinds of password_hash.
var cryptKinds = map[string]string{
	"sha512_crypt": "sha512", "sha256_crypt": "sha256", "md5_crypt": "md5", "bcrypt": "bcrypt",
	"sha512": "sha512", "sha256": "sha256", "md5": "md5", "blowfish": "blowfish",
}

// prompts reads `vars_prompt:`, a list or a single entry.
func (l *loader) prompts(n *syntax.Node) []*Prompt {
	items := []*syntax.Node{n}
	if n.Kind == syntax.Sequence {
		items = n.Items
	}
	var all []*Prompt
	for _, item := range items {
		f, err := item.Fields()
		if err != nil {
			l.addError(item.Range, err)
			continue
		}
		if p := l.prompt(f); p != nil {
			all = append(all, p)
		}
	}
	return all
}

func (l *loader) prompt(f *syntax.Fields) *Prompt {
	l.checkKeywords(f, "an entry of vars_prompt", promptKeys, nil)
	node, err := f.Require("name")
	if err != nil {
		l.add(f.Node.Errorf("the entry of vars_prompt names no variable").WithHint("as in \"- {name: user, prompt: Who are you?}\""))
		return nil
	}
	p := &Prompt{Name: l.variableName(node, "name"), Range: start(f.Node.Range), env: l.env}
	texts := map[string]**Setting[string]{"prompt": &p.Text, "default": &p.Default}
	flags := map[string]**Setting[bool]{"private": &p.Private, "confirm": &p.Confirm, "unsafe": &p.Unsafe}
	for _, entry := range f.Node.Entries {
		if to, ok := texts[entry.Name]; ok && entry.Value.Kind != syntax.Null {
			*to = readSetting(l, entry.Name, entry.Value, asText)
		}
		if to, ok := flags[entry.Name]; ok && entry.Value.Kind != syntax.Null {
			*to = readSetting(l, entry.Name, entry.Value, asBool)
		}
	}
	l.promptCrypt(f, p)
	return p
}

// promptCrypt compiles what encrypt asks for: the filter password_hash.
func (l *loader) promptCrypt(f *syntax.Fields, p *Prompt) {
	node, ok := f.Get("encrypt")
	if !ok || node.Kind == syntax.Null {
		for _, key := range []string{"salt", "salt_size"} {
			if at := f.Key(key); at != nil {
				l.add(at.Errorf("%s without encrypt", key).WithHint("add \"encrypt: sha512_crypt\", or remove " + key))
			}
		}
		return
	}
	name, ok := l.literalText(node, "encrypt")
	if !ok {
		return
	}
	kind, known := cryptKinds[name]
	if !known {
		l.add(node.Errorf("encrypt knows no %s; it is one of %s", name, strings.Join(sortedKeys(cryptKinds), ", ")).
			WithHint(diag.DidYouMean(name, sortedKeys(cryptKinds))))
		return
	}
	call := fmt.Sprintf("answer | password_hash(%q", kind)
	if salt, ok := f.Get("salt"); ok && salt.Kind != syntax.Null {
		text, _ := l.literalText(salt, "salt")
		call += fmt.Sprintf(", salt=%q", text)
	}
	if size, ok := f.Get("salt_size"); ok && size.Kind != syntax.Null {
		if s := readSetting(l, "salt_size", size, asCount); s != nil {
			call += fmt.Sprintf(", salt_size=%d", s.value)
		}
	}
	p.crypt = l.expression(call+")", diag.Fixed(node.Range))
}

// Question renders what to ask with s, the scope of the run with the play's
// variables.
func (p *Prompt) Question(ctx context.Context, s expression.Scope) (text string, private, confirm bool, err error) {
	if text, err = p.Text.Get(ctx, s); err != nil {
		return "", false, false, err
	}
	if private, err = p.Private.Or(ctx, s, true); err != nil {
		return "", false, false, err
	}
	confirm, err = p.Confirm.Get(ctx, s)
	return cmp.Or(text, p.Name), private, confirm, err
}

// Variable makes the variable of an answer: a template like any value that a
// person writes, but for unsafe and for what encrypt makes of it.
func (p *Prompt) Variable(ctx context.Context, s expression.Scope, answer string) (*scope.Vars, error) {
	unsafe, err := p.Unsafe.Get(ctx, s)
	if err != nil {
		return nil, err
	}
	if p.crypt != nil {
		value, err := p.crypt.Evaluate(ctx, expression.Variables{"answer": answer})
		if err != nil {
			return nil, err
		}
		return scope.Plain(map[string]any{p.Name: value}, p.Range), nil
	}
	if unsafe {
		return scope.Plain(map[string]any{p.Name: answer}, p.Range), nil
	}
	vars, found := scope.FromText(p.env, map[string]any{p.Name: answer}, p.Range)
	return vars, found.ErrorOrNil()
}
