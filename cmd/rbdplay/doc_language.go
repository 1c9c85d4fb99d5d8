package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/config"
	"github.com/rbdplay/rbdplay/engine/lookup"
	"github.com/rbdplay/rbdplay/engine/play"
)

// languageFile is the page of the language, in the folder above that of the
// modules' pages. What stands between the marks is made from the code.
const (
	languageFile  = "language.md"
	languageBegin = "<!-- made from the code by make docs: begin -->\n"
	languageEnd   = "<!-- made from the code by make docs: end -->\n"
)

// writeLanguage puts the tables into the page called name, and makes one that has
// nothing else where there is none.
func writeLanguage(name string) error {
	page, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		page, err = []byte("# The words of the playbook language\n\n"+languageBegin+languageEnd), nil
	}
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(page), languageBegin)
	_, after, ends := strings.Cut(rest, languageEnd)
	if !begins || !ends {
		return fmt.Errorf("%s: there are no marks to put the tables between", name)
	}
	return os.WriteFile(name, []byte(before+languageBegin+languageTables()+languageEnd+after), 0o644)
}

func languageTables() string {
	var b strings.Builder
	b.WriteString("| | known | refused |\n|---|---|---|\n")
	for _, w := range play.Language(lookup.Environment(nil)) {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", w.Title, coded(w.Known), reasons(w.Refused))
	}
	harmless, fixed := config.Harmless()
	var said []string
	for _, name := range slices.Sorted(maps.Keys(fixed)) {
		said = append(said, fmt.Sprintf("`%s` = %s", name, strings.Join(fixed[name], " or ")))
	}
	fmt.Fprintf(&b, "| Settings of ansible.cfg | %s | what is not named here is warned of, with its place |\n", coded(config.Obeyed()))
	fmt.Fprintf(&b, "| Settings that change nothing here | %s; and %s | |\n", coded(harmless), strings.Join(said, ", "))
	return b.String()
}

// coded lists names as code. A bar would end the cell.
func coded(names []string) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = "`" + strings.ReplaceAll(name, "|", `\|`) + "`"
	}
	return strings.Join(texts, ", ")
}

// reasons lists names by why they are refused.
func reasons(refused map[string]string) string {
	byReason := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		byReason[refused[name]] = append(byReason[refused[name]], name)
	}
	var texts []string
	for _, why := range slices.Sorted(maps.Keys(byReason)) {
		texts = append(texts, coded(byReason[why])+": "+why)
	}
	return strings.Join(texts, "<br>")
}
