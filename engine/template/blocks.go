package template

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
)

// namedBlock is a {% block %}: a part that a template which extends this one may
// give another body.
type namedBlock struct {
	name             string
	scoped, required bool
	body             []renderer
	at               diag.Range
}

// extendsNode makes the template a variant of another one.
type extendsNode struct {
	name *expression.Expression
	at   diag.Range
}

// run renders a template, and where it extends others, the one at the end of the
// chain with the blocks of all. top is the layer of the names they set.
func (r *rendering) run(t *Template, top *layer) error {
	r.top, r.blocks, r.extended = top, map[string][]*namedBlock{}, nil
	if len(t.blocks) > 0 {
		own := newLayer(top.below) // below, so that an import does not hand it out
		own.set("self", &ownBlocks{r, top})
		top.below = own
	}
	for {
		for name, block := range t.blocks {
			r.blocks[name] = append(r.blocks[name], block)
		}
		out := r.out
		err := renderAll(r, top, t.nodes)
		r.out = out // what stands behind extends has its effects, and no text
		if err != nil || r.extended == nil {
			return err
		}
		t, r.extended = r.extended, nil
		r.depth++
	}
}

func (n *extendsNode) render(r *rendering, scope *layer) error {
	value, err := r.evaluate(n.name, scope)
	if err != nil {
		return err
	}
	if r.extended, err = r.load(n.at, value); err != nil {
		return err
	}
	r.out = new(strings.Builder)
	return nil
}

// render writes the block where it stands; in a template that extends another one
// it is the other's to place.
func (b *namedBlock) render(r *rendering, scope *layer) error {
	if r.extended != nil {
		return nil
	}
	return r.block(b.name, 0, scope)
}

// block writes a block's body. Level 0 is the body that counts, the next ones are
// those it replaces.
func (r *rendering) block(name string, level int, scope *layer) error {
	chain := r.blocks[name]
	current, placed := chain[level], chain[len(chain)-1]
	if current.required {
		return diag.New(current.at, "the block '%s' is required, and no template gives it", name)
	}
	if r.depth >= deepest {
		return diag.New(current.at, "blocks call each other more than %d levels deep", deepest)
	}
	below := r.top
	if placed.scoped {
		below = scope
	}
	inner := newLayer(below)
	deeper := *r
	deeper.depth++
	inner.set("self", &ownBlocks{&deeper, scope}) // it knows how deep it is called
	if level+1 < len(chain) {
		inner.set("super", deeper.blockCall(name, level+1, scope))
	}
	return renderAll(&deeper, inner, current.body)
}

// blockCall is a block as a function that gives its text.
func (r *rendering) blockCall(name string, level int, scope *layer) expression.Native {
	return func(c *expression.Call) (any, error) {
		if len(c.Rest)+len(c.Named) > 0 {
			return nil, fmt.Errorf("the block '%s' takes no arguments", name)
		}
		inner := *r
		inner.out = new(strings.Builder)
		err := inner.block(name, level, scope)
		if unknown, ok := errors.AsType[errUnknown](err); ok {
			return unknown.unknown, nil
		}
		return inner.out.String(), err
	}
}

// ownBlocks is the variable self.
type ownBlocks struct {
	r     *rendering
	scope *layer
}

// Get implements expression.Object.
func (o *ownBlocks) Get(_ context.Context, key string) (any, bool, error) {
	if o.r.blocks[key] == nil {
		return nil, false, nil
	}
	return o.r.blockCall(key, 0, o.scope), true, nil
}

// Keys implements expression.Object.
func (o *ownBlocks) Keys() []string { return slices.Sorted(maps.Keys(o.r.blocks)) }
