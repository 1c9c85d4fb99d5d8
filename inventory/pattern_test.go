package inventory

import (
	"context"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine/diag"
)

const patternHosts = `
lone
[web]
web[01:04]
[db]
db-[a:c]
[prod]
web01
db-b
web03
[site:children]
db
web
[v6]
2001:db8::1
`

func patternInventory(t testing.TB) *Inventory {
	t.Helper()
	l := &loader{ctx: context.Background(), sources: &diag.Sources{}, hosts: map[string]*Host{}, groups: map[string]*Group{}}
	l.all, l.ungrouped = l.group(allName, diag.Range{}), l.group(ungroupedName, diag.Range{})
	l.ini("hosts", []byte(patternHosts))
	inv := l.assemble(nil)
	l.settle(inv)
	if len(l.found) > 0 {
		t.Fatal(l.found)
	}
	return inv
}

func TestSelect(t *testing.T) {
	inv := patternInventory(t)
	for _, test := range []struct{ pattern, want string }{
		{"all", "lone web01 db-b web03 2001:db8::1 db-a db-c web02 web04"},
		{"*", "lone web01 db-b web03 2001:db8::1 db-a db-c web02 web04"},
		{"ungrouped", "lone"},
		{"web", "web01 web02 web03 web04"},
		{"db:web", "db-a db-b db-c web01 web02 web03 web04"},
		{"web,db", "web01 web02 web03 web04 db-a db-b db-c"},
		{"web : db", "web01 web02 web03 web04 db-a db-b db-c"},
		{"site", "db-a db-b db-c web01 web02 web03 web04"},
		{"web:&prod", "web01 web03"},
		{"&prod:web", "web01 web03"},
		{"&prod", "web01 db-b web03"},
		{"web:!prod", "web02 web04"},
		{"!prod:web", "web02 web04"},
		{"!web:!db", "lone 2001:db8::1"},
		{"web:db:&prod:!web03", "web01 db-b"},
		{"web[0]", "web01"},
		{"web[-1]", "web04"},
		{"web[-5]", ""},
		{"web[0:1]", "web01 web02"},
		{"web[1:]", "web02 web03 web04"},
		{"web[0-1]", "web01 web02"},
		{"web[-2:]", "web03 web04"},
		{"web[2:9]", "web03 web04"},
		{"web[7]", ""},
		{"web[0]:db[1]", "web01 db-b"},
		{"web0[x12]", "web01 web02"},
		{"web*", "web01 web02 web03 web04"},
		{"web0[!12]", "web03 web04"},
		{"d?", "db-a db-b db-c"},
		{`~web0[1-2]`, "web01 web02"},
		{`~(web|db).*[1a]$`, "web01 db-a"},
		{`~web0{1}1`, "web01"},
		{"lone", "lone"},
		{"2001:db8::1", "2001:db8::1"},
		{"web01,2001:db8::1", "web01 2001:db8::1"},
		{"localhost", "localhost"},
		{"127.0.0.1", "localhost"},
		{"web01,web01", "web01"},
	} {
		t.Run(test.pattern, func(t *testing.T) {
			p, err := ParsePattern(test.pattern, nil)
			if err != nil {
				t.Fatal(err)
			}
			hosts, found := inv.Select(p)
			if len(found) > 0 {
				t.Error(found)
			}
			var names []string
			for _, h := range hosts {
				names = append(names, h.Name)
			}
			if got := strings.Join(names, " "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestSelectFindings(t *testing.T) {
	inv := patternInventory(t)
	for _, test := range []struct {
		pattern, want string
		severity      diag.Severity
	}{
		{"weeb", `hosts:1:1: the inventory has no host and no group weeb (did you mean "web"?)`, diag.Error},
		{"web:!web09", `hosts:1:5: the inventory has no host and no group web09 (did you mean "web01"?)`, diag.Error},
		{"web:&quux", `hosts:1:5: the inventory has no host and no group quux (it has the groups all, db, prod, site, ungrouped, v6, web)`, diag.Error},
		{"mail*", `hosts:1:1: no host and no group matches mail*`, diag.Warning},
		{"~mail", `hosts:1:1: no host and no group matches ~mail`, diag.Warning},
	} {
		p, err := ParsePattern(test.pattern, diag.InText("hosts", test.pattern))
		if err != nil {
			t.Fatal(err)
		}
		_, found := inv.Select(p)
		if len(found) != 1 || found[0].Error() != test.want || found[0].Severity != test.severity {
			t.Errorf("%s: got %v (%v)", test.pattern, found, found.HasErrors())
		}
	}
}

func TestPatternsThatAreWrong(t *testing.T) {
	for pattern, want := range map[string]string{
		"":          "p:1:1: the pattern of hosts is empty",
		" , :":      "p:1:1: the pattern of hosts is empty", //nolint:gocritic // the blanks are the case
		"web:!":     `p:1:5: a name is missing behind "!"`,
		"~web(":     "p:1:1: not a regular expression",
		"a,@retry":  "p:1:3: a pattern from a file",
		"web[ab":    `p:1:1: "web[ab" is no pattern`,
		"web:db[]x": `p:1:5: "db[]x" is no pattern`,
	} {
		_, err := ParsePattern(pattern, diag.InText("p", pattern))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s…", pattern, err, want)
		}
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, seed := range []string{"web:&prod:!web1", "~db\\d+", "all[0:2]", "a,b", "[::1]:22", "x[!a]", "!", "web[-1:]"} {
		f.Add(seed)
	}
	inv := patternInventory(f)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePattern(text, diag.InText("p", text))
		if err != nil {
			return
		}
		hosts, _ := inv.Select(p)
		seen := map[*Host]bool{}
		for _, h := range hosts {
			if seen[h] {
				t.Fatalf("%q chooses %s twice", text, h.Name)
			}
			seen[h] = true
		}
	})
}
