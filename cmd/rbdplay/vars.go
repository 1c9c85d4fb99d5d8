package main

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/agent/binaries"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/vault"
)

// inExtraVars is the place of what -e itself says. Its text is not shown: it may
// hold a password.
var inExtraVars = diag.Range{File: "--extra-vars"}

// readExtraVars reads what -e was given: key=value pairs, @file, or a mapping in
// YAML or JSON. Later ones win.
func readExtraVars(given []string, sources *diag.Sources, keys *vault.Keyring) (map[string]any, diag.List) {
	all := map[string]any{}
	var found diag.List
	for _, text := range given {
		var err error
		switch trimmed := strings.TrimSpace(text); {
		case strings.HasPrefix(text, "@"):
			err = addVarsFile(all, text[1:], sources, keys)
		case strings.HasPrefix(trimmed, "{") && !strings.HasPrefix(trimmed, "{{"):
			err = addMapping(all, inExtraVars.File, []byte(text), nil, keys)
		default:
			var values map[string]string
			values, err = play.KeyValues(text)
			for name, value := range values {
				all[name] = value
			}
		}
		found.AddError(inExtraVars, err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if problem := scope.CheckName(name); problem != "" {
			found.Add(diag.New(inExtraVars, "%s", problem))
		}
	}
	return all, found
}

func addVarsFile(all map[string]any, file string, sources *diag.Sources, keys *vault.Keyring) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return addMapping(all, file, data, sources, keys)
}

func addMapping(all map[string]any, name string, text []byte, sources *diag.Sources, keys *vault.Keyring) error {
	node, err := keys.Parse(name, text, sources)
	if err != nil {
		return err
	}
	decoded, err := node.Decode()
	if err != nil {
		return err
	}
	values, ok := decoded.(map[string]any)
	if !ok && decoded != nil {
		return diag.New(diag.Range{File: name}, "a mapping of variables is wanted")
	}
	maps.Copy(all, values)
	return nil
}

// agentsText says which platforms this rbdplay can put an agent on.
func agentsText() string {
	platforms := binaries.Embedded().Architectures()
	if len(platforms) == 0 {
		return "no agents: build with make build"
	}
	return "agents for linux/" + strings.Join(platforms, " linux/")
}
