package modules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path"
	"regexp"
	"strconv"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// WaitForArgs are the arguments of wait_for.
type WaitForArgs struct {
	Host           string  `arg:"host" default:"127.0.0.1" doc:"The host of the port."`
	Port           int     `arg:"port" default:"0" doc:"The TCP port to wait for. Give port or path, or neither to let timeout seconds pass."`
	Path           string  `arg:"path" type:"path" doc:"The file to wait for."`
	SearchRegex    string  `arg:"search_regex" doc:"An expression that the file, or what the port says after connecting, must match."`
	State          string  `arg:"state" default:"started" choices:"started,stopped,present,absent" doc:"started and present wait for the port to be open or the file to be there, stopped and absent for the opposite."`
	Timeout        float64 `arg:"timeout" default:"300" doc:"Seconds after which the task fails."`
	Delay          float64 `arg:"delay" default:"0" doc:"Seconds to wait before looking at all."`
	Sleep          float64 `arg:"sleep" default:"1" doc:"Seconds between two looks."`
	ConnectTimeout float64 `arg:"connect_timeout" default:"5" doc:"Seconds for one attempt to connect."`
	Msg            string  `arg:"msg" doc:"The message of a failure, in place of the usual one."`
}

func waitForSpec() Spec {
	return Spec{
		Name:    "wait_for",
		Summary: "Wait for a port or a file",
		Place:   OnHost,
		New:     func() Module { return &WaitForArgs{} },
		Notes:   []string{pythonRegexpNote, "In check mode a condition that holds is ok; one that does not hold yet is deferred, since an earlier task of a real run might bring it about."},
		Returns: []Return{
			{Name: "state", Type: "string", Doc: "Of a port what was waited for; of a path what it is now: file, directory, link, hard, absent. Its mode, owner, group, uid, gid and size are there too."},
			{Name: "port", Type: "int", Doc: "The port, if one was given; else null."},
			{Name: "search_regex", Type: "string", Doc: "The expression, if one was given; else null."},
			{Name: "path", Type: "string", Doc: "The file, if one was given; else null."},
			{Name: "elapsed", Type: "int", Doc: "Seconds that it took."},
			{Name: "match_groups", Type: "list", Doc: "What the groups of search_regex matched."},
			{Name: "match_groupdict", Type: "dict", Doc: "The same for named groups."},
		},
		Examples: []Example{
			{"Until the load balancer listens", `
wait_for:
  port: 10002
  timeout: 60`},
			{"Until a log says so", `
wait_for:
  path: /var/log/install.log
  search_regex: install(ed)? successfully`},
		},
	}
}

// Validate holds the rules that involve more than one option.
func (a *WaitForArgs) Validate() error {
	if a.Port != 0 && a.Path != "" {
		return errors.New("wait_for: port and path exclude each other")
	}
	if a.Port < 0 || a.Port > 65535 {
		return fmt.Errorf("wait_for: port: %d is no port", a.Port)
	}
	if a.Path != "" && !path.IsAbs(a.Path) {
		return fmt.Errorf("wait_for: path: %s is not an absolute path", a.Path)
	}
	if a.SearchRegex != "" && a.Port == 0 && a.Path == "" {
		return errors.New("wait_for: search_regex needs port or path")
	}
	if a.Timeout < 0 || a.Delay < 0 || a.Sleep <= 0 || a.ConnectTimeout <= 0 {
		return errors.New("wait_for: times are seconds; sleep and connect_timeout must be above 0")
	}
	_, err := a.expression()
	return err
}

func (a *WaitForArgs) expression() (*regexp.Regexp, error) {
	if a.SearchRegex == "" {
		return nil, nil
	}
	re, err := compilePython(a.SearchRegex, "m")
	if err != nil {
		return nil, fmt.Errorf("wait_for: search_regex: %w", err)
	}
	return re, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Plan looks until the condition holds. Waiting changes nothing, so that it is
// done here and there are never any steps.
func (a *WaitForArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	re, err := a.expression()
	if err != nil {
		return Plan{}, err
	}
	began := time.Now()
	result := Result{
		"state": a.State, "elapsed": 0, "port": nil, "path": nil, "search_regex": nil,
		"match_groups": []string{}, "match_groupdict": map[string]any{},
	}
	for key, value := range map[string]any{"port": a.Port, "path": a.Path, "search_regex": a.SearchRegex} {
		if value != 0 && value != "" {
			result[key] = value
		}
	}
	if a.Port == 0 && a.Path == "" {
		err := host.Pause(ctx, seconds(a.Timeout))
		result["elapsed"] = int(time.Since(began).Seconds())
		return Plan{Result: result}, err
	}
	if a.Delay > 0 {
		if err := host.Pause(ctx, seconds(a.Delay)); err != nil {
			return Plan{Result: result}, err
		}
	}
	err = a.wait(ctx, host, re, began, result)
	elapsed := int(time.Since(began).Seconds())
	if err != nil {
		return Plan{Result: Result{"elapsed": elapsed}}, err
	}
	result["elapsed"] = elapsed
	if a.Path != "" {
		err = fileKeys(ctx, host, a.Path, result)
	}
	return Plan{Result: result}, err
}

// fileKeys tells what the path that was waited for is now.
func fileKeys(ctx context.Context, host sys.Reader, path string, result Result) error {
	file, err := look(ctx, host, path)
	if err != nil {
		return err
	}
	keys, err := file.result(ctx, host)
	maps.Copy(result, keys)
	return err
}

func (a *WaitForArgs) wait(ctx context.Context, host sys.Reader, re *regexp.Regexp, began time.Time, result Result) error {
	for {
		holds, last, err := a.holds(ctx, host, re, result)
		if err != nil || holds {
			return err
		}
		left := seconds(a.Timeout) - time.Since(began)
		if err := host.Pause(ctx, max(0, min(seconds(a.Sleep), left))); err != nil {
			return err
		}
		if left <= 0 {
			return a.late(last)
		}
	}
}

// late is the failure, with what the last look saw.
func (a *WaitForArgs) late(last string) error {
	if a.Msg != "" {
		return errors.New(a.Msg)
	}
	what := net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
	if a.Path != "" {
		what = a.Path
	}
	if a.SearchRegex != "" {
		what = fmt.Sprintf("%q in %s", a.SearchRegex, what)
	}
	return fmt.Errorf("timeout: %s is not %s after %g seconds; at last: %s", what, a.State, a.Timeout, last)
}

// holds looks once. last says what was seen in place of what is wanted.
func (a *WaitForArgs) holds(ctx context.Context, host sys.Reader, re *regexp.Regexp, result Result) (holds bool, last string, err error) {
	if a.Path != "" {
		holds, last, err = fileHolds(ctx, host, a.Path, re, result)
	} else {
		holds, last, err = a.portHolds(ctx, host, re, result)
	}
	if a.State == "stopped" || a.State == "absent" {
		return !holds, "it is still there", err
	}
	return holds, last, err
}

func fileHolds(ctx context.Context, host sys.Reader, p string, re *regexp.Regexp, result Result) (bool, string, error) {
	info, err := host.Files().Stat(ctx, p)
	if there, err := present(err); !there {
		return false, "there is no such file", err
	}
	if re == nil {
		return true, "", nil
	}
	if info.Type != sys.Regular {
		return false, "", fmt.Errorf("%s is a %s, so it cannot be searched", p, info.Type)
	}
	text, err := readText(ctx, host, found{path: p, info: info, exists: true})
	if err != nil {
		return false, "", err
	}
	return matched(re, text, result), "the file does not match", nil
}

// portHolds connects. Any refusal means closed; only a shadow's ignorance and the
// end of the task are errors.
func (a *WaitForArgs) portHolds(ctx context.Context, host sys.Reader, re *regexp.Regexp, result Result) (bool, string, error) {
	once, cancel := context.WithTimeout(ctx, seconds(a.ConnectTimeout))
	defer cancel()
	conn, err := host.Network().Dial(once, "tcp", net.JoinHostPort(a.Host, strconv.Itoa(a.Port)))
	if _, unknown := sys.Unknown(err); unknown {
		return false, "", err
	}
	if ctx.Err() != nil {
		return false, "", ctx.Err()
	}
	if err != nil {
		return false, err.Error(), nil
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	if re == nil {
		return true, "", nil
	}
	stop := context.AfterFunc(once, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // a dead connection ends the read as well
	defer stop()
	said := make([]byte, 0, 4096)
	for len(said) < 1<<20 {
		part := make([]byte, 4096)
		n, err := conn.Read(part)
		said = append(said, part[:n]...)
		if matched(re, string(said), result) {
			return true, "", nil
		}
		if err != nil {
			if ctx.Err() != nil {
				return false, "", ctx.Err()
			}
			if !errors.Is(err, io.EOF) {
				return false, "what it says does not match: " + err.Error(), nil
			}
			break
		}
	}
	return false, "what it says does not match", nil
}

// matched fills the keys of the groups when re matches.
func matched(re *regexp.Regexp, text string, result Result) bool {
	groups := re.FindStringSubmatch(text)
	if groups == nil {
		return false
	}
	named := map[string]any{}
	for i, name := range re.SubexpNames() {
		if name != "" {
			named[name] = groups[i]
		}
	}
	result["match_groups"], result["match_groupdict"] = groups[1:], named
	return true
}
