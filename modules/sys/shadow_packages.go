package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
)

// shadowPackages is what the recorded transactions would leave installed. Each
// prediction lets the host beneath resolve all requests together, so that what
// an earlier transaction would bring is not brought twice.
type shadowPackages struct {
	sh *Shadow

	mu        sync.Mutex
	requests  []PackageRequest // of all transactions, one for each name
	options   PackageOptions   // allowed in any of them
	planned   map[string]PackageChange
	dropped   map[string]bool // planned to come, and removed again: what came along stays
	refreshed bool            // the package lists would be fetched
}

func newShadowPackages(sh *Shadow) *shadowPackages {
	return &shadowPackages{sh: sh, planned: map[string]PackageChange{}, dropped: map[string]bool{}}
}

// Manager names the package manager.
func (p *shadowPackages) Manager(ctx context.Context) (string, error) {
	return p.sh.under.Packages().Manager(ctx)
}

// Query gives what would be installed.
func (p *shadowPackages) Query(ctx context.Context, names ...string) (map[string]Package, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, err := p.sh.under.Packages().Query(ctx, names...)
	if err != nil {
		return nil, err
	}
	all := make(map[string]Package, len(found))
	for name, one := range found {
		if c, ok := p.planned[name]; ok {
			one.Installed = c.To
		}
		all[name] = one
	}
	return all, nil
}

// Resolve says what the requests would still change.
func (p *shadowPackages) Resolve(ctx context.Context, requests []PackageRequest, options PackageOptions) ([]PackageChange, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, err := p.resolve(ctx, requests, options)
	return next.changes, err
}

// outcome is what a transaction would do and the state that it leads to.
type outcome struct {
	changes  []PackageChange
	requests []PackageRequest
	planned  map[string]PackageChange
	dropped  map[string]bool
}

func (p *shadowPackages) resolve(ctx context.Context, requests []PackageRequest, options PackageOptions) (outcome, error) {
	if len(p.planned) > 0 && options.PackageSelection != p.options.PackageSelection {
		return outcome{}, &UnknownError{
			What:    "what would be installed",
			Because: "an earlier transaction would be done with other options (upgrade, autoremove, install_recommends, default_release, enablerepo, disablerepo), and the package manager simulates only one at a time",
		}
	}
	kept, dropped := p.drop(requests)
	all := mergeRequests(p.requests, kept)
	total, err := p.sh.under.Packages().Resolve(ctx, all, mergeOptions(p.options, options))
	if errors.Is(err, fs.ErrNotExist) && p.refreshed {
		return outcome{}, &UnknownError{What: "what would be installed", Because: "the package lists would be fetched first, and those that are there say: " + err.Error()}
	}
	if err != nil {
		return outcome{}, err
	}
	after := make(map[string]PackageChange, len(total))
	for _, c := range total {
		if !dropped[c.Name] {
			after[c.Name] = c
		}
	}
	return outcome{difference(p.planned, after), all, after, dropped}, nil
}

// drop sorts out the removals of what is not installed beneath but planned: there
// the host beneath has nothing to resolve, and the packages that were to come
// along would stay. Anything else that depends on it is taken to stay as well.
func (p *shadowPackages) drop(requests []PackageRequest) (kept []PackageRequest, dropped map[string]bool) {
	dropped = maps.Clone(p.dropped)
	for _, r := range requests {
		c, planned := p.planned[r.Name]
		if r.State == PackageAbsent && (planned && c.From == "" || dropped[r.Name]) {
			dropped[r.Name] = true
			continue
		}
		delete(dropped, r.Name)
		kept = append(kept, r)
	}
	return kept, dropped
}

// mergeRequests puts later wishes in the place of earlier ones for the same name.
// A wish that is content with anything leaves a more exact one as it is.
func mergeRequests(earlier, later []PackageRequest) []PackageRequest {
	all := slices.Clone(earlier)
	for _, r := range later {
		i := slices.IndexFunc(all, func(old PackageRequest) bool { return old.Name == r.Name })
		switch {
		case i < 0:
			all = append(all, r)
		case r.State == PackagePresent && r.Version == "" && all[i].State == PackageAbsent:
			all[i].State = PackageLatest // what is installed beneath would be gone by then
		case r.State != PackagePresent || r.Version != "":
			all[i] = r
		}
	}
	return all
}

func mergeOptions(a, b PackageOptions) PackageOptions {
	return PackageOptions{
		UnitsDisabled:   a.UnitsDisabled || b.UnitsDisabled,
		AllowDowngrade:  a.AllowDowngrade || b.AllowDowngrade,
		AllowChangeHeld: a.AllowChangeHeld || b.AllowChangeHeld,
		Purge:           a.Purge || b.Purge,

		PackageSelection: b.PackageSelection,
	}
}

// difference is what leads from one state to another; both are told as changes
// of the host beneath.
func difference(before, after map[string]PackageChange) []PackageChange {
	var changes []PackageChange
	add := func(name, from, to string) {
		if from != to {
			changes = append(changes, PackageChange{Name: name, From: from, To: to})
		}
	}
	for name, a := range after {
		if b, ok := before[name]; ok {
			add(name, b.To, a.To)
		} else {
			add(name, a.From, a.To)
		}
	}
	for name, b := range before {
		if _, ok := after[name]; !ok {
			add(name, b.To, b.From)
		}
	}
	slices.SortFunc(changes, func(a, b PackageChange) int { return strings.Compare(a.Name, b.Name) })
	return changes
}

// Apply records the transaction.
func (p *shadowPackages) Apply(ctx context.Context, requests []PackageRequest, options PackageOptions) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, err := p.resolve(ctx, requests, options)
	if err != nil {
		return err
	}
	changes := next.changes
	if err := p.removed(ctx, changes); err != nil {
		return err
	}
	p.requests, p.planned, p.dropped = next.requests, next.planned, next.dropped
	p.options = mergeOptions(p.options, options)
	if len(p.planned) == 0 {
		p.requests = nil // nothing of them is left to be foretold together with others
	}
	if len(changes) == 0 {
		return nil
	}
	p.sh.network.stirred("change of packages")
	if fresh := reasonFor(requests, changes); fresh != "" {
		if err := p.brought(ctx, fresh, changes); err != nil {
			return err
		}
		p.sh.units.brought(fresh, options.UnitsDisabled)
	}
	return nil
}

// broughtFiles is the part of a host beneath that may know what packages would bring.
type broughtFiles interface {
	filesBrought(ctx context.Context, changes []PackageChange) (paths []string, known bool, err error)
}

// brought tells of the files that new packages would bring: exactly those where that
// is known, else anything where packages bring files.
func (p *shadowPackages) brought(ctx context.Context, reason string, changes []PackageChange) error {
	fresh := slices.DeleteFunc(slices.Clone(changes), func(c PackageChange) bool { return c.From != "" })
	paths, known, err := p.filesBrought(ctx, fresh)
	if err != nil {
		return fmt.Errorf("find the files of the new packages: %w", err)
	}
	if known {
		p.sh.files.doubt(doubt{reason: reason, paths: paths})
	} else {
		p.sh.files.brings(reason)
	}
	return nil
}

// filesBrought lets a shadow lie over a shadow.
func (p *shadowPackages) filesBrought(ctx context.Context, changes []PackageChange) (paths []string, known bool, err error) {
	if knows, ok := p.sh.under.Packages().(broughtFiles); ok {
		return knows.filesBrought(ctx, changes)
	}
	return nil, false, nil
}

// reasonFor names the packages that would be installed: those that were asked
// for, else, when only something else comes, those.
func reasonFor(requests []PackageRequest, changes []PackageChange) string {
	var asked, fresh []string
	for _, c := range changes {
		if c.From != "" {
			continue
		}
		fresh = append(fresh, c.Name)
		if slices.ContainsFunc(requests, func(r PackageRequest) bool { return r.Name == c.Name }) {
			asked = append(asked, c.Name)
		}
	}
	if len(asked) == 0 {
		asked = fresh
	}
	switch len(asked) {
	case 0:
		return ""
	case 1:
		return "package " + asked[0] + " would be installed"
	}
	return fmt.Sprintf("packages %s would be installed", strings.Join(asked, ", "))
}

// ownedFiles is the part of a host beneath that can tell which files its packages
// own; for another host the units of removed packages stay as they are.
type ownedFiles interface {
	filesOf(ctx context.Context, packages []string) ([]string, error)
}

// removed tells of the units that go with removed packages.
func (p *shadowPackages) removed(ctx context.Context, changes []PackageChange) error {
	var names []string
	for _, c := range changes {
		if c.To == "" {
			names = append(names, c.Name)
		}
	}
	owner, ok := p.sh.under.Packages().(ownedFiles)
	if len(names) == 0 || !ok {
		return nil
	}
	files, err := owner.filesOf(ctx, names)
	if err != nil {
		return fmt.Errorf("find the units of the removed packages: %w", err)
	}
	p.sh.units.gone(unitsAmong(files))
	return nil
}

// filesOf lets a shadow lie over a shadow.
func (p *shadowPackages) filesOf(ctx context.Context, packages []string) ([]string, error) {
	if owner, ok := p.sh.under.Packages().(ownedFiles); ok {
		return owner.filesOf(ctx, packages)
	}
	return nil, nil
}

// UpdateCache records that the lists would be fetched. What is known of packages
// stays as the lists have it that are there; only what they lack is unknown.
func (p *shadowPackages) UpdateCache(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refreshed = true
	return nil
}
