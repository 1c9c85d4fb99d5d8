package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/probe"
	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules"
)

// drill is one run of the command.
type drill struct {
	*drillFlags
	streams *streams
	loaded  *loaded

	cluster cluster
}

// cluster is what the playbook tells of it.
type cluster struct {
	VIP     string            `json:"vip"`
	AppHost string            `json:"app_host"`
	Storage string            `json:"storage"`
	Holder  string            `json:"holder"` // of the VIP, now
	Manage  map[string]string `json:"manage"` // address by name
	// Of several management nodes, the address that they share, and who has it now.
	ManageVIP    string            `json:"manage_vip"`
	ManageHolder string            `json:"manage_holder"`
	Gateway      map[string]string `json:"gateway"`
	Compute      []string          `json:"compute"` // the gateways among them
}

// drillStep is one thing that is stopped.
type drillStep struct {
	level int
	what  string // what the playbook knows it as; power is not the playbook's
	on    string // a node, or who it is by then: holder, other, manageHolder, allManagers
	watch time.Duration
}

const (
	power  = "power"
	holder = "the holder of the VIP"
	other  = "the other gateway"

	manageHolder = "the holder of manage_vip"
	allManagers  = "all management nodes"
)

func (s drillStep) title() string { return s.what + " on " + s.on }

// plan lists the steps: parts first, then whole nodes, the management node before
// the others since to outlive it is what the cluster is for. The times are those
// that a failure takes to be noticed, and some seconds: of keepalived and rbd-lb
// three, of a storage node network.ping-timeout, ten.
func (d *drill) plan() []drillStep {
	steps := []drillStep{
		{1, "keepalived", holder, 6 * time.Second},
		{1, "rbd-lb", holder, 8 * time.Second},
	}
	if d.cluster.Storage == "glusterfs" {
		steps = append(steps, drillStep{1, "brick", holder, 8 * time.Second})
	}
	for _, on := range d.managers() {
		steps = append(steps, drillStep{2, "management", on, 8 * time.Second}, drillStep{2, power, on, 14 * time.Second})
	}
	steps = append(steps, drillStep{1, power, holder, 18 * time.Second}, drillStep{1, power, other, 18 * time.Second})
	return slices.DeleteFunc(steps, func(step drillStep) bool {
		return step.level > d.level || step.what == power && d.powerOff == ""
	})
}

// managers are the management nodes that are stopped together: the only one, or of
// several first the one whose place another must take, and then all.
func (d *drill) managers() []string {
	if d.cluster.ManageVIP == "" {
		return slices.Sorted(maps.Keys(d.cluster.Manage))
	}
	return []string{manageHolder, allManagers}
}

// storageUse is what using it on a node came to.
type storageUse struct {
	Uses      int   `json:"uses"`
	Failed    int   `json:"failed"`
	LongestMS int64 `json:"longest_ms"`
}

// play runs one part of the drill's playbook. started is called when its last task
// begins. The error says what went wrong, and on which host.
func (d *drill) play(ctx context.Context, part string, vars map[string]any, started func()) (*drillSink, error) {
	o := d.options(d.streams, d.loaded)
	o.Selection.Tags = []string{part}
	o.ExtraVars = map[string]any{"drill_what": "keepalived", "drill_host": "localhost"} // what is left out wants some too
	maps.Copy(o.ExtraVars, d.loaded.extra)
	maps.Copy(o.ExtraVars, vars)
	o.Secrets = d.connection.secrets()
	connector := newConnector(d.loaded.registry, d.connection)
	defer connector.Close()
	o.Connector = connector
	sink := &drillSink{started: started}
	o.Sink = sink
	summary, err := engine.Run(ctx, o)
	if err != nil {
		return sink, reportErrors(d.streams, d.loaded.sources, err)
	}
	sink.unreachable, sink.contacted = summary.Unreachable(), summary.Contacted
	switch {
	case ctx.Err() != nil:
		return sink, ctx.Err()
	case summary.Failed() || summary.Unreachable():
		return sink, errors.New(strings.Join(sink.faults, "; "))
	}
	return sink, nil
}

// drillSink keeps what the drill wants to know of a run.
type drillSink struct {
	started     func()
	unreachable bool
	contacted   bool
	faults      []string
	told        string                // by the task that tells of the cluster
	storage     map[string]storageUse // by host
	err         error
}

// Emit implements event.Sink.
func (s *drillSink) Emit(e event.Event) {
	switch e := e.(type) {
	case event.TaskStart:
		if s.started != nil && e.Task == "Use the storage" {
			s.started()
		}
	case event.TaskEnd:
		if (e.Status == modules.Failed || e.Status == modules.Unreachable) && !e.Ignored && !e.Rescued {
			s.faults = append(s.faults, fmt.Sprintf("%s: %s: %s", e.Host, e.Name, e.Message))
		}
		s.keep(e)
	}
}

func (s *drillSink) keep(e event.TaskEnd) {
	switch {
	case e.Status != modules.OK:
	case e.Name == "Tell the drill":
		s.told, _ = e.Result["msg"].(string)
	case e.Name == "Use the storage":
		var use storageUse
		text, _ := e.Result["stdout"].(string)
		if err := json.Unmarshal([]byte(text), &use); err != nil {
			s.err = fmt.Errorf("%s: what using the storage told cannot be read: %q: %w", e.Host, text, err)
			return
		}
		if s.storage == nil {
			s.storage = map[string]storageUse{}
		}
		s.storage[e.Host] = use
	}
}

// look finds the cluster well, and who has the VIP.
func (d *drill) look(ctx context.Context) error {
	sink, err := d.play(ctx, "look", nil, nil)
	if told, ok := errors.AsType[*exitError](err); ok {
		return told
	}
	switch {
	case ctx.Err() != nil:
		return &exitError{code: exitInterrupted}
	case err != nil && !sink.contacted:
		return &exitError{code: exitWrong, err: err}
	case err != nil && sink.unreachable:
		return &exitError{code: exitUnreachable, err: fmt.Errorf("nothing was stopped: %w", err)}
	case err != nil:
		return &exitError{code: exitFailed, err: fmt.Errorf("the cluster is not well, so nothing was stopped: %w", err)}
	}
	if err := json.Unmarshal([]byte(sink.told), &d.cluster); err != nil {
		return fmt.Errorf("what the playbook tells of the cluster cannot be read: %q: %w", sink.told, err)
	}
	return nil
}

// hosts are the nodes that a step is about.
func (d *drill) hosts(step drillStep) []string {
	switch step.on {
	case holder:
		return []string{d.cluster.Holder}
	case manageHolder:
		return []string{d.cluster.ManageHolder}
	case allManagers:
		return slices.Sorted(maps.Keys(d.cluster.Manage))
	case other:
		for _, name := range slices.Sorted(maps.Keys(d.cluster.Gateway)) {
			if name != d.cluster.Holder {
				return []string{name}
			}
		}
	}
	return []string{step.on}
}

// step stops one thing, watches, and restores it whatever happens.
func (d *drill) step(ctx context.Context, step drillStep, watched *watch) (m measure) {
	hosts := d.hosts(step)
	m = measure{Level: step.level, What: step.what, Host: strings.Join(hosts, ",")}
	vars := map[string]any{
		"drill_what": step.what, "drill_host": m.Host, "drill_seconds": int(step.watch.Seconds()),
		"drill_deadline": int((step.watch + 2*time.Minute).Seconds()),
		"drill_watchers": strings.Join(slices.DeleteFunc(slices.Sorted(slices.Values(d.cluster.Compute)), func(name string) bool {
			return slices.Contains(hosts, name) && step.what == power
		}), ","),
	}
	if step.what == power {
		vars["drill_what"] = "management" // is not looked at
	}
	storage, err := d.stopAndUse(ctx, step, hosts, vars, watched)
	m.answered, m.managed = watched.answering(), watched.managed()
	if restored := d.restore(ctx, step, hosts, vars); restored != nil {
		err = errors.Join(err, fmt.Errorf("restoring: %w", restored))
	} else if err == nil {
		_, healed := d.play(ctx, "heal", vars, nil)
		m.Healed = healed == nil
		err = healed
	}
	m.take(storage, watched)
	if step.on == allManagers {
		m.Management = nil // nobody is left to answer
	}
	if err != nil {
		m.Fault = err.Error()
	}
	m.judge(d.maxGap)
	return m
}

// stopAndUse begins to use the storage, stops the thing, and waits for the end.
func (d *drill) stopAndUse(ctx context.Context, step drillStep, hosts []string, vars map[string]any, watched *watch) (map[string]storageUse, error) {
	using, cancel := context.WithCancel(ctx)
	defer cancel()
	started := make(chan struct{})
	var once sync.Once
	var sink *drillSink
	ended := make(chan error, 1)
	go func() {
		var err error
		sink, err = d.play(using, "watch", vars, func() { once.Do(func() { close(started) }) })
		ended <- errors.Join(err, sink.err)
	}()
	select {
	case <-started:
	case err := <-ended:
		return nil, fmt.Errorf("the storage could not be used before anything was stopped: %w", err)
	}
	watched.reset()
	if err := d.stop(ctx, step, hosts, vars); err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("stopping: %w", err), unlessCanceled(<-ended))
	}
	err := <-ended
	return sink.storage, err
}

// unlessCanceled is the error of something that may have been cut off on purpose.
func unlessCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (d *drill) stop(ctx context.Context, step drillStep, hosts []string, vars map[string]any) error {
	if step.what == power {
		return d.powerCommands(ctx, d.powerOff, hosts)
	}
	_, err := d.play(ctx, "stop", vars, nil)
	return err
}

// restore starts again what was stopped, also when ctx has ended.
func (d *drill) restore(ctx context.Context, step drillStep, hosts []string, vars map[string]any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
	defer cancel()
	if step.what != power {
		_, err := d.play(ctx, "restore", vars, nil)
		return err
	}
	if err := d.powerCommands(ctx, d.powerOn, hosts); err != nil {
		return err
	}
	for {
		sink, err := d.play(ctx, "restore", vars, nil)
		if err == nil || !sink.unreachable || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// powerCommands runs the command for each of the nodes, also when it fails for one.
func (d *drill) powerCommands(ctx context.Context, command string, hosts []string) error {
	var failures []error
	for _, host := range hosts {
		failures = append(failures, d.powerCommand(ctx, command, host))
	}
	return errors.Join(failures...)
}

func (d *drill) powerCommand(ctx context.Context, command, host string) error {
	c := exec.CommandContext(ctx, "sh", "-c", command)
	address := d.cluster.Gateway[host] + d.cluster.Manage[host]
	c.Env = append(os.Environ(), "RBDPLAY_HOST="+host, "RBDPLAY_ADDRESS="+address)
	c.WaitDelay = 5 * time.Second
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s for %s: %w: %s", command, host, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// watch asks everything that users ask.
type watch struct {
	urls   []string
	probes []*probe.Probe
	names  *probe.Probe // nil: no name server answers here
	// The registry at manage_vip; nil with one management node, or when it does not answer here.
	management *probe.Probe
}

// targets are the URLs to ask, and the Host header to ask them with.
func (d *drill) targets() (urls []string, header string) {
	switch {
	case len(d.urls) > 0:
		return d.urls, d.hostHeader
	case d.cluster.AppHost != "":
		return []string{"http://" + d.cluster.VIP + "/"}, d.cluster.AppHost
	}
	return []string{"http://" + d.cluster.VIP + ":10002/health"}, ""
}

// watch begins to ask. What does not answer before the drill is a fault.
func (d *drill) watch(ctx context.Context) (*watch, error) {
	w := &watch{}
	interval := time.Second / time.Duration(d.rate)
	urls, header := d.targets()
	for _, url := range urls {
		status, err := probe.Status(ctx, url, header)
		if err == nil && status >= 500 {
			err = fmt.Errorf("%s answers with %d", url, status)
		}
		if err != nil {
			w.stop()
			return nil, fmt.Errorf("nothing was stopped: a URL does not answer before the drill: %w", err)
		}
		w.urls = append(w.urls, url)
		w.probes = append(w.probes, probe.Start(ctx, probe.HTTP(url, header, status), interval))
	}
	var servers []string
	for _, name := range slices.Sorted(maps.Keys(d.cluster.Gateway)) {
		servers = append(servers, net.JoinHostPort(d.cluster.Gateway[name], "53"))
	}
	ask := probe.Names("goodrain.me", d.cluster.VIP, servers)
	first, cancel := context.WithTimeout(ctx, probe.Patience)
	defer cancel()
	if ask(first) == probe.Answered {
		w.names = probe.Start(ctx, ask, 10*probe.Often)
	}
	if d.cluster.ManageVIP != "" {
		url := "http://" + net.JoinHostPort(d.cluster.ManageVIP, "5000") + "/v2/"
		if status, err := probe.Status(ctx, url, ""); err == nil && status < 500 {
			w.management = probe.Start(ctx, probe.HTTP(url, "", status), interval)
		}
	}
	return w, nil
}

func (w *watch) all() []*probe.Probe {
	all := slices.Clone(w.probes)
	for _, p := range []*probe.Probe{w.names, w.management} {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

func (w *watch) reset() {
	for _, p := range w.all() {
		p.Reset()
	}
}

func (w *watch) stop() {
	for _, p := range w.all() {
		p.Stop()
	}
}

// answering reports whether every URL is answered now.
func (w *watch) answering() bool {
	return !slices.ContainsFunc(w.probes, func(p *probe.Probe) bool { return !p.Answering() })
}

// managed reports whether the registry is answered at manage_vip now.
func (w *watch) managed() bool { return w.management != nil && w.management.Answering() }

// run takes the steps, one at a time, each on a cluster that is well.
func (d *drill) run(ctx context.Context, name string, plan []drillStep) error {
	asking, end := context.WithCancel(context.WithoutCancel(ctx)) // until the last thing is restored
	defer end()
	w, err := d.watch(asking)
	if err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	defer w.stop()
	result := &drillReport{Playbook: name, Level: d.level, URLs: w.urls, Power: d.powerOff != "", MaxGapMS: d.maxGap.Milliseconds(), planned: plan}
	for i, step := range plan {
		if i > 0 {
			if err := d.look(ctx); err != nil {
				result.Fault = err.Error()
				break
			}
		}
		fmt.Fprintf(d.streams.err, "stopping %s on %s\n", step.what, strings.Join(d.hosts(step), ","))
		m := d.step(ctx, step, w)
		result.Steps = append(result.Steps, m)
		if ctx.Err() != nil || m.Fault != "" {
			result.Fault = m.Fault
			break
		}
	}
	result.judge()
	if err := result.write(d.streams.out, d.format); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return &exitError{code: exitInterrupted}
	case !result.holds():
		return &exitError{code: exitFailed}
	}
	return nil
}
