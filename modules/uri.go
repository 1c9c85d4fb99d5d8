package modules

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// URIArgs are the arguments of uri.
type URIArgs struct {
	URL             string            `arg:"url,required" doc:"The address, http or https."`
	Method          string            `arg:"method" default:"GET" doc:"The method, in capitals."`
	StatusCode      []int             `arg:"status_code" default:"200" doc:"The status codes that count as success."`
	ReturnContent   bool              `arg:"return_content" default:"no" doc:"Report the body as content."`
	Body            any               `arg:"body" doc:"The body: a text, or a mapping or list that body_format writes."`
	BodyFormat      string            `arg:"body_format" default:"raw" choices:"raw,json,form-urlencoded" doc:"How body is written; also sets Content-Type, unless headers do."`
	Headers         map[string]string `arg:"headers" doc:"Header fields. Host is the name that is asked for."`
	Timeout         float64           `arg:"timeout" default:"30" doc:"Seconds for the whole exchange."`
	FollowRedirects string            `arg:"follow_redirects" default:"safe" choices:"safe,all,none,yes,no" doc:"safe follows for GET and HEAD only; yes and no are all and none."`
	ValidateCerts   bool              `arg:"validate_certs" default:"yes" doc:"Check the certificate of https."`
	User            string            `arg:"url_username" alias:"user" doc:"A user for basic authentication, sent with the first request."`
	Password        string            `arg:"url_password" alias:"password" secret:"true" doc:"The user's password."`
	ForceBasicAuth  bool              `arg:"force_basic_auth" default:"no" doc:"Without effect: user and password are always sent with the first request."`
	HTTPAgent       string            `arg:"http_agent" default:"ansible-httpget" doc:"The User-Agent to send."`
	Resolve         string            `arg:"resolve" doc:"An IP address to connect to in place of what the name in url resolves to. The name is still what is asked for and what the certificate must be for."`
	UnixSocket      string            `arg:"unix_socket" type:"path" doc:"A socket to connect to in place of the network."`
}

func uriSpec() Spec {
	return Spec{
		Name:    "uri",
		Summary: "Ask a web service, from the host",
		Place:   OnHost,
		New:     func() Module { return &URIArgs{} },
		Notes: []string{
			"GET, HEAD and OPTIONS only read and never change anything: they are asked in check mode too. Other methods count as a change and are not sent in check mode. After a task that would have changed what runs on the host, a read is deferred.",
			"Proxies are not used.",
		},
		Returns: []Return{
			{Name: "status", Type: "int", Doc: "The status code; -1 when nothing answered.", Run: true},
			{Name: "url", Type: "string", Doc: "The address that answered, after redirects.", Run: true},
			{Name: "redirected", Type: "bool", Doc: "Whether that is another than was asked.", Run: true},
			{Name: "content", Type: "string", Doc: "The body, with return_content.", Run: true},
			{Name: "json", Type: "raw", Doc: "The body as values, when it is JSON by its type.", Run: true},
			{Name: "msg", Type: "string", Doc: "OK and the number of bytes, or what went wrong.", Run: true},
			{Name: "elapsed", Type: "int", Doc: "Seconds that it took.", Run: true},
			{Name: "HEADER", Type: "string", Doc: "Each header field, small, with _ for -: content_type.", Run: true},
		},
		Examples: []Example{
			{"The load balancer is healthy", `
uri:
  url: http://127.0.0.1:10002/health
  status_code: [200, 205]
register: health
until: health is succeeded
retries: 10
delay: 3`},
			{"An app through the VIP", `
uri:
  url: http://demo.example.org/
  resolve: 10.77.0.10
  return_content: yes`},
			{"Send JSON", `
uri:
  url: http://127.0.0.1:8888/v2/nodes
  method: POST
  body_format: json
  body: {name: compute03}
  status_code: [200, 201]`},
		},
	}
}

// Validate holds what can be known before asking.
func (a *URIArgs) Validate() error {
	u, err := url.Parse(a.URL)
	if err != nil {
		return fmt.Errorf("uri: url: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("uri: url: %q is no http or https address", a.URL)
	}
	if a.Method == "" || strings.ToUpper(a.Method) != a.Method {
		return fmt.Errorf("uri: method: %q is no method; write it in capitals", a.Method)
	}
	if a.Resolve != "" && net.ParseIP(a.Resolve) == nil {
		return fmt.Errorf("uri: resolve: %q is no IP address", a.Resolve)
	}
	if a.Resolve != "" && a.UnixSocket != "" {
		return errors.New("uri: resolve and unix_socket exclude each other")
	}
	if a.Timeout <= 0 {
		return errors.New("uri: timeout: wants seconds above 0")
	}
	_, _, err = a.body()
	return err
}

// Plan asks right away when that only reads.
func (a *URIArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	if slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, a.Method) {
		result := Result{}
		err := a.ask(ctx, host, result)
		return Plan{Result: result}, err
	}
	return Plan{Steps: []Step{happening(a.shownURL(), a.Method, func(ctx context.Context, host sys.Host, result Result) error {
		return reallyDo(ctx, host, "the answer to "+a.Method+" "+a.shownURL(), func(ctx context.Context) error {
			return a.ask(ctx, host, result)
		})
	})}}, nil
}

// shownURL is the address without a password in it.
func (a *URIArgs) shownURL() string {
	u, err := url.Parse(a.URL)
	if err != nil {
		return a.URL
	}
	return u.Redacted()
}

// contentLimit is the most of a body that is kept.
const contentLimit = 16 << 20

// ask makes the request and fills result, also when it fails.
func (a *URIArgs) ask(ctx context.Context, host sys.Reader, result Result) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, seconds(a.Timeout), fmt.Errorf("no answer within %g seconds", a.Timeout))
	defer cancel()
	request, err := a.request(ctx)
	if err != nil {
		return err
	}
	client := a.client(host)
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(response.Body, contentLimit+1))
		_ = response.Body.Close() // read to its end
	}
	result["elapsed"] = int(time.Since(began).Seconds())
	if err != nil {
		return a.unanswered(ctx, err, result)
	}
	if len(body) > contentLimit {
		return fmt.Errorf("%s: the answer has more than %d bytes", a.shownURL(), contentLimit)
	}
	a.report(response, body, result)
	if !slices.Contains(a.StatusCode, response.StatusCode) {
		message := fmt.Sprintf("Status code was %d and not %v: HTTP Error %s", response.StatusCode, a.StatusCode, response.Status)
		result["msg"] = message
		return errors.New(message)
	}
	return nil
}

func (a *URIArgs) unanswered(ctx context.Context, err error, result Result) error {
	if _, unknown := sys.Unknown(err); unknown {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = context.Cause(ctx)
	}
	err = fmt.Errorf("Status code was -1 and not %v: Request failed: %w", a.StatusCode, err) // Ansible's words, which playbooks search for
	result["status"], result["url"], result["msg"] = -1, a.shownURL(), err.Error()
	return err
}

func (a *URIArgs) request(ctx context.Context) (*http.Request, error) {
	body, contentType, err := a.body()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, a.Method, a.URL, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("uri: %w", err)
	}
	request.Header.Set("User-Agent", a.HTTPAgent)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for name, value := range a.Headers {
		if strings.EqualFold(name, "Host") {
			request.Host = value
			continue
		}
		request.Header.Set(name, value)
	}
	if a.User != "" {
		request.SetBasicAuth(a.User, a.Password)
	}
	return request, nil
}

// body writes the body and says its type.
func (a *URIArgs) body() (text, contentType string, err error) {
	if a.Body == nil {
		return "", "", nil
	}
	plain, isText := a.Body.(string)
	switch a.BodyFormat {
	case "json":
		if isText {
			return plain, "application/json", nil
		}
		data, err := json.Marshal(a.Body)
		if err != nil {
			return "", "", fmt.Errorf("uri: body cannot be written as JSON: %w", err)
		}
		return string(data), "application/json", nil
	case "form-urlencoded":
		const form = "application/x-www-form-urlencoded"
		if isText {
			return plain, form, nil
		}
		fields, ok := a.Body.(map[string]any)
		if !ok {
			return "", "", errors.New("uri: body: form-urlencoded wants a mapping or a text")
		}
		return encodeForm(fields), form, nil
	}
	if !isText {
		if plain, err = asString(a.Body); err != nil {
			return "", "", errors.New("uri: body: a mapping or list needs body_format: json or form-urlencoded")
		}
	}
	return plain, "", nil
}

func encodeForm(fields map[string]any) string {
	values := url.Values{}
	for name, value := range fields {
		items, isList := value.([]any)
		if !isList {
			items = []any{value}
		}
		for _, item := range items {
			text, err := asString(item)
			if err != nil {
				text = fmt.Sprint(item)
			}
			values.Add(name, text)
		}
	}
	return values.Encode()
}

// client connects by way of the host, so that a shadow can say that it does not
// know what would answer.
func (a *URIArgs) client(host sys.Reader) *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if a.UnixSocket != "" {
			return host.Network().Dial(ctx, "unix", a.UnixSocket)
		}
		if a.Resolve != "" {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			address = net.JoinHostPort(a.Resolve, port)
		}
		return host.Network().Dial(ctx, network, address)
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:       dial,
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: !a.ValidateCerts}, //nolint:gosec // only when the task asks for it
		},
		CheckRedirect: a.redirect,
	}
}

func (a *URIArgs) redirect(request *http.Request, via []*http.Request) error {
	follow := a.FollowRedirects == "all" || a.FollowRedirects == "yes" ||
		a.FollowRedirects == "safe" && (a.Method == http.MethodGet || a.Method == http.MethodHead)
	if !follow {
		return http.ErrUseLastResponse
	}
	if len(via) >= 10 {
		return fmt.Errorf("more than 10 redirects, the last to %s", request.URL.Redacted())
	}
	return nil
}

// report fills the keys of an answer; header fields give way to our own keys.
func (a *URIArgs) report(response *http.Response, body []byte, result Result) {
	own := maps.Clone(result)
	for name, values := range response.Header {
		result[strings.ReplaceAll(strings.ToLower(name), "-", "_")] = strings.Join(values, ", ")
	}
	maps.Copy(result, own)
	final := response.Request.URL.Redacted()
	result["status"], result["url"], result["redirected"] = response.StatusCode, final, final != a.shownURL()
	result["msg"] = "OK (" + strconv.Itoa(len(body)) + " bytes)"
	if a.ReturnContent {
		result["content"] = strings.ToValidUTF8(string(body), "\ufffd")
	}
	if strings.Contains(response.Header.Get("Content-Type"), "json") {
		var value any
		if json.Unmarshal(body, &value) == nil {
			result["json"] = value
		}
	}
}
