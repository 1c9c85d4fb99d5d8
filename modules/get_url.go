package modules

import (
	"context"
	"crypto/md5"  //nolint:gosec // a checksum that a task may give
	"crypto/sha1" //nolint:gosec // as above
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// GetURLArgs are the arguments of get_url.
type GetURLArgs struct {
	URL            string            `arg:"url,required" doc:"What to fetch: an http, https or file address, as seen from the host."`
	Dest           string            `arg:"dest,required" type:"path" doc:"The file to write. A directory takes it under the name that the answer or else url gives; then it is fetched each time, and replaced when it differs."`
	Checksum       string            `arg:"checksum" doc:"ALGORITHM:DIGEST that the content must have (md5, sha1, sha224, sha256, sha384, sha512), or ALGORITHM:ADDRESS of a list of digests and names. What dest has already is not fetched; what does not have it is not written."`
	Force          bool              `arg:"force" default:"no" doc:"Fetch although dest is there, and replace it when it differs."`
	Headers        map[string]string `arg:"headers" doc:"Header fields to send."`
	Timeout        float64           `arg:"timeout" default:"10" doc:"Seconds to wait for a connection and for the answer to begin."`
	ValidateCerts  bool              `arg:"validate_certs" default:"yes" doc:"Check the certificate of https."`
	User           string            `arg:"url_username" alias:"username" doc:"A user for basic authentication, sent with the first request."`
	Password       string            `arg:"url_password" alias:"password" secret:"true" doc:"The user's password."`
	ForceBasicAuth bool              `arg:"force_basic_auth" default:"no" doc:"Without effect: user and password are always sent with the first request."`
	HTTPAgent      string            `arg:"http_agent" default:"ansible-httpget" doc:"The User-Agent to send."`
	Backup         bool              `arg:"backup" default:"no" doc:"Keep the old file beside the new one, as PATH.DIGEST~; the same content is kept once."`
	FileAttributes
}

func getURLSpec() Spec {
	return Spec{
		Name:    "get_url",
		Summary: "Fetch a file from a web server, from the host",
		Place:   OnHost,
		New:     func() Module { return &GetURLArgs{} },
		Notes: []string{
			"A GET only reads: it is made in check mode too, to say what would be written. So a file that is to be written is read twice, once to know it and once to write it; it goes into a temporary file in dest's folder, which takes dest's place when the digest is the same both times. Nothing is fetched when dest is there, unless force or checksum asks for it.",
			"After a task that would have changed what runs on the host, check mode defers the fetch. Proxies are not used.",
		},
		Returns: slices.Concat(attributeReturns, []Return{
			{Name: "dest", Type: "string", Doc: "The file."},
			{Name: "url", Type: "string", Doc: "The address, without a password in it."},
			{Name: "status_code", Type: "int", Doc: "The status of the answer, where one was asked for; also when it was not 200 and the task failed."},
			{Name: "response", Type: "string", Doc: "What the answer said that made the task fail: HTTP Error 404: Not Found."},
			{Name: "elapsed", Type: "int", Doc: "Whole seconds that fetching took."},
			{Name: "checksum_src", Type: "string", Doc: "SHA-1 of what was fetched."},
			{Name: "checksum_dest", Type: "string", Doc: "SHA-1 of the file at dest."},
			{Name: "backup_file", Type: "string", Doc: "Where the old file was kept, with backup."},
			{Name: "msg", Type: "string", Doc: "OK with the number of bytes, or that the file is there."},
		}),
		Examples: []Example{
			{"A program of a certain build", `
get_url:
  url: https://mirror.example.org/grctl-5.1
  dest: /usr/local/bin/grctl
  checksum: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  mode: '0755'`},
		},
	}
}

var checksums = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

// Validate holds what can be known before asking.
func (a *GetURLArgs) Validate() error {
	u, err := url.Parse(a.URL)
	switch {
	case err != nil:
		return errors.New("url cannot be read as an address")
	case u.Scheme == "file" && !path.IsAbs(u.Path), u.Scheme != "file" && u.Scheme != "http" && u.Scheme != "https",
		u.Scheme != "file" && u.Host == "":
		return fmt.Errorf("url: %q is no http, https or file address", u.Redacted())
	case a.Timeout <= 0:
		return errors.New("timeout: wants seconds above 0")
	case a.Backup && strings.HasSuffix(a.Dest, "/"):
		return errors.New("backup needs a file as dest")
	}
	if a.Checksum != "" {
		algorithm, digest, err := a.checksum()
		if err != nil {
			return err
		}
		if !strings.Contains(digest, "://") && len(digest) != 2*checksums[algorithm]().Size() {
			return fmt.Errorf("checksum: %q is no %s", digest, algorithm)
		}
	}
	return a.noPreserve()
}

func (a *GetURLArgs) checksum() (algorithm, digest string, err error) {
	algorithm, digest, _ = strings.Cut(a.Checksum, ":")
	if checksums[strings.ToLower(algorithm)] == nil {
		return "", "", fmt.Errorf("checksum: wants ALGORITHM:DIGEST, as in sha256:…, not %q", a.Checksum)
	}
	if digest = strings.TrimSpace(digest); !strings.Contains(digest, "://") {
		digest = strings.ToLower(digest)
	}
	return strings.ToLower(algorithm), digest, nil
}

// download is what an address gives; it can be opened again and again, and then
// must be the same.
type download struct {
	args   *GetURLArgs
	host   sys.Reader
	size   int64
	sha256 string
}

func (d *download) Open(ctx context.Context) (io.ReadCloser, error) {
	r, _, err := d.args.open(ctx, d.host, d.args.URL) //nolint:bodyclose // the reader that is returned closes it
	return r, err
}
func (d *download) Size() int64    { return d.size }
func (d *download) SHA256() string { return d.sha256 }

// fetched is what is known of a download.
type fetched struct {
	content  sys.Content
	name     string
	status   int
	sums     digests
	checksum string // by the algorithm that the task names
}

// Plan fetches what it has to know, and writes nothing.
func (a *GetURLArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	at, err := lookThrough(ctx, host, a.Dest)
	if err != nil {
		return Plan{}, fmt.Errorf("dest: %w", err)
	}
	algorithm, want, err := a.wanted(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	if at.is(sys.Regular) && !a.Force {
		have := ""
		if algorithm != "" {
			if have, err = (&StatArgs{Path: at.path, ChecksumAlgorithm: algorithm}).checksum(ctx, host); err != nil {
				return Plan{}, err
			}
		}
		if have == want {
			return a.there(ctx, host, at)
		}
	}
	began := time.Now()
	got, err := a.fetch(ctx, host, algorithm)
	took := int(time.Since(began).Seconds())
	if err != nil {
		return Plan{Result: a.failure(err, at.path, took)}, err
	}
	told := Result{"url": a.shown(), "checksum_src": got.sums.sha1, "elapsed": took}
	if got.status != 0 {
		told["status_code"] = got.status
	}
	if got.checksum != want {
		told["dest"] = at.path
		return Plan{Result: told}, fmt.Errorf("%s does not have the checksum %s:%s, but %s; nothing was written", a.shown(), algorithm, want, got.checksum)
	}
	plan, err := a.write(ctx, host, got)
	if err != nil {
		return Plan{Result: told}, err
	}
	maps.Copy(plan.Once, told)
	return plan, nil
}

// failure is what a fetch that failed tells: as with Ansible, an answer's status
// and words where there was one.
func (a *GetURLArgs) failure(err error, dest string, took int) Result {
	told := Result{"url": a.shown(), "dest": dest, "elapsed": took}
	if answer, ok := errors.AsType[*refusedError](err); ok {
		told["status_code"], told["response"] = answer.status, fmt.Sprintf("HTTP Error %d: %s", answer.status, http.StatusText(answer.status))
	}
	return told
}

// refusedError is an answer other than 200.
type refusedError struct {
	error
	status int
}

// there plans for a file that is not fetched.
func (a *GetURLArgs) there(ctx context.Context, host sys.Reader, at found) (Plan, error) {
	steps, err := a.attributeSteps(ctx, host, at)
	if err != nil {
		return Plan{}, err
	}
	result, err := at.result(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	if result["checksum_dest"], err = (&StatArgs{Path: at.path, ChecksumAlgorithm: "sha1"}).checksum(ctx, host); err != nil {
		return Plan{}, err
	}
	result["dest"], result["url"] = at.path, a.shown()
	return Plan{Steps: steps, Result: result, Once: Result{"msg": "file already exists"}}, nil
}

func (a *GetURLArgs) write(ctx context.Context, host sys.Reader, got fetched) (Plan, error) {
	source := &Content{Content: got.content, Name: got.name}
	options := WriteOptions{Backup: a.Backup, FileAttributes: a.FileAttributes}
	plan, err := fileCopy{source: source, dest: a.Dest, force: true, options: options}.plan(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	if sum, ok := plan.Result["checksum"]; ok {
		delete(plan.Result, "checksum")
		plan.Result["checksum_dest"] = sum
	}
	plan.Once["msg"] = fmt.Sprintf("OK (%d bytes)", got.content.Size())
	return plan, nil
}

// wanted is the digest that the content must have; "" without checksum.
func (a *GetURLArgs) wanted(ctx context.Context, host sys.Reader) (algorithm, digest string, err error) {
	if a.Checksum == "" {
		return "", "", nil
	}
	algorithm, digest, err = a.checksum()
	if err != nil || !strings.Contains(digest, "://") {
		return algorithm, digest, err
	}
	r, _, err := a.open(ctx, host, digest) //nolint:bodyclose // r closes it
	if err != nil {
		return "", "", fmt.Errorf("checksum: %w", err)
	}
	defer r.Close() //nolint:errcheck // only read from
	const longest = 1 << 20
	text, err := io.ReadAll(io.LimitReader(r, longest))
	if err != nil {
		return "", "", fmt.Errorf("checksum: reading the list: %w", err)
	}
	u, err := url.Parse(a.URL)
	if err != nil {
		return "", "", errors.New("url cannot be read as an address")
	}
	digest, err = listedDigest(string(text), path.Base(u.Path), checksums[algorithm]().Size())
	return algorithm, digest, err
}

// listedDigest finds the digest of name in a list as sha256sum(1) writes it, or takes
// the only digest there is.
func listedDigest(list, name string, size int) (string, error) {
	var sole []string
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) == 0 || len(fields[0]) != 2*size {
			continue
		}
		if len(fields) == 1 {
			sole = append(sole, fields[0])
		} else if path.Base(strings.TrimPrefix(fields[1], "*")) == name {
			return strings.ToLower(fields[0]), nil
		}
	}
	if len(sole) != 1 {
		return "", fmt.Errorf("checksum: the list has no digest of %s", name)
	}
	return strings.ToLower(sole[0]), nil
}

// fetch reads the content once for its digests. A small one is kept.
func (a *GetURLArgs) fetch(ctx context.Context, host sys.Reader, algorithm string) (fetched, error) {
	r, head, err := a.open(ctx, host, a.URL) //nolint:bodyclose // r closes it
	if err != nil {
		return fetched{}, err
	}
	defer r.Close()                                       //nolint:errcheck // only read from
	one, two, small := sha1.New(), sha256.New(), &start{} //nolint:gosec // as above
	all := []io.Writer{one, two, small}
	if algorithm != "" {
		all = append(all, checksums[algorithm]())
	}
	size, err := io.Copy(io.MultiWriter(all...), &untilCancelled{ctx, r})
	if err != nil {
		return fetched{}, fmt.Errorf("fetching %s: %w", a.shown(), err)
	}
	got := fetched{name: a.name(head), sums: digests{hexOf(one), hexOf(two)}}
	if head != nil {
		got.status = head.StatusCode
	}
	if algorithm != "" {
		got.checksum = hexOf(all[3].(hash.Hash)) //nolint:forcetypeassert // put there above
	}
	if size <= shownWhole {
		got.content = textContent(small.text)
		return got, nil
	}
	got.content = &download{args: a, host: host, size: size, sha256: got.sums.sha256}
	return got, nil
}

// start keeps the first bytes of what is written to it.
type start struct{ text []byte }

func (s *start) Write(p []byte) (int, error) {
	s.text = append(s.text, p[:min(len(p), shownWhole+1-len(s.text))]...)
	return len(p), nil
}

// name is the file's own, for a dest that is a directory.
func (a *GetURLArgs) name(head *http.Response) string {
	if head != nil {
		if _, params, err := mime.ParseMediaType(head.Header.Get("Content-Disposition")); err == nil {
			if name := path.Base(path.Clean("/" + params["filename"])); name != "/" {
				return name
			}
		}
	}
	u, err := url.Parse(a.URL)
	if err != nil || path.Base(u.Path) == "/" || path.Base(u.Path) == "." {
		return "index.html"
	}
	return path.Base(u.Path)
}

func (a *GetURLArgs) shown() string { return (&URIArgs{URL: a.URL}).shownURL() }

// open asks for address by way of the host. The answer's head is nil for a file.
func (a *GetURLArgs) open(ctx context.Context, host sys.Reader, address string) (io.ReadCloser, *http.Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, errors.New("the address cannot be read")
	}
	if u.Scheme == "file" {
		r, err := host.Files().Open(ctx, path.Clean(u.Path))
		if err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", u.Path, err)
		}
		return r, nil, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("User-Agent", a.HTTPAgent)
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
	client := &http.Client{Transport: a.transport(host)}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, a.unanswered(err, u)
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close() // an error page
		return nil, nil, &refusedError{fmt.Errorf("fetching %s: the server answered %s", u.Redacted(), response.Status), response.StatusCode}
	}
	return response.Body, response, nil
}

func (a *GetURLArgs) unanswered(err error, u *url.URL) error {
	if _, unknown := sys.Unknown(err); unknown {
		return err
	}
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err // the address in it may hold a password
	}
	return fmt.Errorf("fetching %s: %w", u.Redacted(), err)
}

func (a *GetURLArgs) transport(host sys.Reader) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, seconds(a.Timeout), fmt.Errorf("no connection within %g seconds", a.Timeout))
			defer cancel()
			return host.Network().Dial(ctx, network, address)
		},
		DisableKeepAlives:     true,
		TLSHandshakeTimeout:   seconds(a.Timeout),
		ResponseHeaderTimeout: seconds(a.Timeout),
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: !a.ValidateCerts}, //nolint:gosec // only when the task asks for it
	}
}
