package modules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// GrctlArgs are the arguments of grctl.
type GrctlArgs struct {
	Domain string `arg:"domain" doc:"The address that the wildcard domain of the cluster should lead to."`
	Nodes  bool   `arg:"nodes" default:"no" doc:"Read the list of the cluster's nodes."`
}

func grctlSpec() Spec {
	return Spec{
		Name:    "grctl",
		Summary: "Use Rainbond's grctl: the wildcard domain, the list of nodes",
		Place:   OnHost,
		New:     func() Module { return &GrctlArgs{} },
		Notes: []string{
			"grctl always exits with 0; it is judged by what it prints.",
			"Whether domain is needed is seen by resolving a name under the domain, which " + domainLog + " names. A domain of one's own (not *." + rainbondSuffix + ") is not grctl's to change, and a host without access to public names cannot change it: both are skipped, and said so.",
		},
		Returns: []Return{
			{Name: "domain", Type: "string", Doc: "The wildcard domain."},
			{Name: "addresses", Type: "list", Doc: "What a name under it resolved to before."},
			{Name: "output", Type: "string", Doc: "What grctl domain printed.", Run: true},
			{Name: "nodes", Type: "list", Doc: "The nodes: uid, ip, hostname, role, mode, status, alived, schedulable, ready."},
		},
		Examples: []Example{
			{"Apps by name lead to the VIP", `
grctl:
  domain: 10.77.0.10`},
			{"All nodes are well", `
grctl:
  nodes: yes
register: cluster
failed_when: cluster.nodes | rejectattr('alived') | list`},
		},
	}
}

// Validate wants one of the two.
func (a *GrctlArgs) Validate() error {
	if (a.Domain != "") == a.Nodes {
		return errors.New("grctl needs domain or nodes, and not both")
	}
	if a.Domain != "" && net.ParseIP(a.Domain) == nil {
		return fmt.Errorf("grctl: domain: %q is no IP address", a.Domain)
	}
	return nil
}

// Plan reads the nodes, or sees where the domain leads to.
func (a *GrctlArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	if a.Nodes {
		return planNodes(ctx, host)
	}
	domain, err := wildcardDomain(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	result := Result{"domain": domain}
	if !strings.HasSuffix(domain, "."+rainbondSuffix) {
		return Plan{Result: result, Skipped: "the domain " + domain + " is no *." + rainbondSuffix + ": point its record at " + a.Domain + " yourself"}, nil
	}
	addresses, why := resolveUnder(ctx, host, domain)
	if ctx.Err() != nil {
		return Plan{}, ctx.Err()
	}
	result["addresses"] = orEmpty(addresses)
	if len(addresses) == 0 {
		return Plan{Result: result, Skipped: "names under " + domain + " cannot be resolved here (" + why + "), so its record cannot be changed; later, with access to public names: grctl domain --ip " + a.Domain}, nil
	}
	if slices.Equal(addresses, []string{a.Domain}) {
		return Plan{Result: result}, nil
	}
	return Plan{Result: result, Steps: []Step{act{
		changes: []change.Change{{
			Target: "domain *." + domain, Action: change.Run, Field: "address",
			Before: change.Text(strings.Join(addresses, " ")), After: change.Text(a.Domain),
		}},
		do: a.changeDomain,
	}}}, nil
}

const (
	domainLog      = "/opt/rainbond/.domain.log"
	rainbondSuffix = "grapps.cn"
)

// wildcardDomain reads the domain, as in a1b2.grapps.cn.
func wildcardDomain(ctx context.Context, host sys.Reader) (string, error) {
	r, err := host.Files().Open(ctx, domainLog)
	there, err := present(err)
	if err != nil {
		return "", fmt.Errorf("reading the domain: %w", err)
	}
	if !there {
		return "", fmt.Errorf("there is no %s: this is no management node of Rainbond", domainLog)
	}
	defer r.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", domainLog, err)
	}
	domain := strings.TrimPrefix(strings.TrimSpace(firstLine(string(data))), "*.")
	if domain == "nothing" || strings.ContainsAny(domain, " \t/") {
		return "", fmt.Errorf("%s holds no domain", domainLog)
	}
	return domain, nil
}

// resolveUnder resolves a name that nobody has put into /etc/hosts.
func resolveUnder(ctx context.Context, host sys.Reader, domain string) (addresses []string, why string) {
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addresses, err := host.Network().LookupHost(short, "rbdplay."+domain)
	if err != nil {
		return nil, err.Error()
	}
	return addresses, "no address"
}

// changeDomain runs grctl and judges what it prints.
func (a *GrctlArgs) changeDomain(ctx context.Context, host sys.Host, result Result) error {
	out, err := host.Change().Run(ctx, sys.Command{Args: []string{"grctl", "domain", "--ip", a.Domain}, Timeout: 2 * time.Minute})
	if err != nil {
		return fmt.Errorf("running grctl: %w", err)
	}
	text := strings.TrimSpace(string(out.Stdout) + string(out.Stderr))
	result["output"] = text
	return judgeDomain(text)
}

// judgeDomain reads grctl's words; its exit code says nothing.
func judgeDomain(output string) error {
	switch {
	case strings.Contains(output, "domain change error"):
		return fmt.Errorf("grctl could not change the domain: %s", lastLines(output, 3))
	case strings.Contains(output, "domain change Success"), strings.Contains(output, "DOMAIN NOT ALLOW"):
		return nil
	}
	return fmt.Errorf("grctl said neither that it changed the domain nor that it could not: %q", lastLines(output, 3))
}

func planNodes(ctx context.Context, host sys.Reader) (Plan, error) {
	out, err := host.Probe(ctx, sys.Command{Args: []string{"grctl", "node", "list"}, Timeout: time.Minute})
	if err != nil {
		return Plan{}, fmt.Errorf("running grctl: %w", err)
	}
	nodes, err := parseNodes(string(out.Stdout))
	if err != nil {
		return Plan{}, fmt.Errorf("%w; it printed: %s", err, lastLines(string(out.Stdout)+string(out.Stderr), 3))
	}
	list := make([]any, 0, len(nodes))
	for _, node := range nodes {
		list = append(list, node)
	}
	return Plan{Result: Result{"nodes": list}}, nil
}

// nodeColumns are the headings of grctl's table, and the keys they become.
var nodeColumns = map[string]string{
	"uid": "uid", "ip": "ip", "hostname": "hostname", "noderole": "role", "nodemode": "mode",
	"status": "status", "alived": "alived", "schedulable": "schedulable", "ready": "ready",
}

// parseNodes reads the table of grctl node list, by its headings. Rules drawn
// with +, - and | are no content.
func parseNodes(text string) ([]map[string]any, error) {
	var columns []string
	nodes := []map[string]any{}
	for line := range strings.Lines(text) {
		cells := strings.Fields(strings.ReplaceAll(line, "|", " "))
		if len(cells) == 0 || strings.Trim(strings.Join(cells, ""), "+-=") == "" {
			continue
		}
		if columns == nil {
			if strings.EqualFold(cells[0], "uid") {
				columns = cells
			}
			continue
		}
		if len(cells) != len(columns) {
			return nil, fmt.Errorf("grctl node list: a line has %d columns where the headings have %d: %q", len(cells), len(columns), strings.TrimSpace(line))
		}
		node := map[string]any{}
		for i, heading := range columns {
			if key, known := nodeColumns[strings.ToLower(heading)]; known {
				node[key] = nodeValue(key, cells[i])
			}
		}
		nodes = append(nodes, node)
	}
	if columns == nil {
		return nil, errors.New("grctl node list printed no table")
	}
	return nodes, nil
}

func nodeValue(key, text string) any {
	if key == "alived" || key == "schedulable" || key == "ready" {
		return strings.EqualFold(text, "true")
	}
	return text
}
