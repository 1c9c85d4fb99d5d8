package modules_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// shop is a web server with a small file, a large one and a list of their digests.
type shop struct {
	*httptest.Server

	asked atomic.Int64
	small string
}

func newShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{small: "one\n"}
	mux := http.NewServeMux()
	mux.HandleFunc("/small", func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		fmt.Fprint(w, s.small)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("large\n", 50_000)) })
	mux.HandleFunc("/sums", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s  other\n%s *small\n", strings.Repeat("0", 64), sha256Of(s.small))
	})
	mux.HandleFunc("/named", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Disposition", `attachment; filename="../../given.txt"`)
		fmt.Fprint(w, "named")
	})
	mux.HandleFunc("/closed", func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "very-secret" || r.Header.Get("X-Site") != "a" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "inside")
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func sha256Of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (s *shop) get(t *testing.T, root, name string, more map[string]any) modules.Outcome {
	t.Helper()
	args := map[string]any{"url": s.URL + "/" + name, "dest": root + "/file"}
	for key, value := range more {
		args[key] = value
	}
	return modulestest.Predicted(t, decoded(t, "get_url", args), sys.NewReal(), root)
}

func TestGetURL(t *testing.T) {
	s, root := newShop(t), modulestest.Dir(t)
	out := s.get(t, root, "small", map[string]any{"mode": "0600"})
	wantChanges(t, out, "create "+root+"/file content: (absent) -> one\n", "create "+root+"/file mode: (absent) -> 0600")
	if out.Result["status_code"] != 200 || out.Result["checksum_src"] != out.Result["checksum_dest"] {
		t.Errorf("result %v", out.Result)
	}
	before := s.asked.Load()
	wantStatus(t, s.get(t, root, "small", nil), modules.OK)
	if s.asked.Load() != before {
		t.Error("it was fetched although it is there")
	}
	s.small = "two\n"
	wantStatus(t, s.get(t, root, "small", nil), modules.OK)
	wantStatus(t, s.get(t, root, "small", map[string]any{"force": true, "backup": true}), modules.Changed)
	wantStatus(t, s.get(t, root, "small", map[string]any{"force": true}), modules.OK)
	wantStatus(t, s.get(t, root, "large", map[string]any{"force": true}), modules.Changed)
	if info, err := os.Stat(root + "/file"); err != nil || info.Size() != 300_000 || info.Mode() != 0o600 {
		t.Errorf("the large file became %v: %v", info, err)
	}
}

func TestGetURLChecksum(t *testing.T) {
	s, root := newShop(t), modulestest.Dir(t)
	right := "sha256:" + sha256Of(s.small)
	wantFailure(t, s.get(t, root, "small", map[string]any{"checksum": "md5:" + strings.Repeat("0", 32)}), "does not have the checksum")
	wantStatus(t, s.get(t, root, "small", map[string]any{"checksum": right}), modules.Changed)
	before := s.asked.Load()
	wantStatus(t, s.get(t, root, "small", map[string]any{"checksum": right}), modules.OK)
	wantStatus(t, s.get(t, root, "small", map[string]any{"checksum": "sha256:" + s.URL + "/sums"}), modules.OK)
	if s.asked.Load() != before {
		t.Error("it was fetched although it has the checksum")
	}
	if err := os.WriteFile(root+"/file", []byte("spoilt"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s.get(t, root, "small", map[string]any{"checksum": right}), modules.Changed)
	wantFailure(t, s.get(t, root, "large", map[string]any{"force": true, "checksum": "sha256:" + s.URL + "/sums"}), "no digest of large")
}

func TestGetURLIntoDirectory(t *testing.T) {
	s, root := newShop(t), modulestest.Dir(t)
	out := s.get(t, root, "named", map[string]any{"dest": root})
	wantStatus(t, out, modules.Changed)
	if out.Result["dest"] != root+"/given.txt" {
		t.Errorf("dest %v", out.Result["dest"])
	}
	wantStatus(t, s.get(t, root, "small", map[string]any{"dest": root + "/"}), modules.Changed)
	wantStatus(t, s.get(t, root, "small", map[string]any{"dest": root + "/"}), modules.OK)
}

func TestGetURLOfFile(t *testing.T) {
	s, root := newShop(t), modulestest.Dir(t)
	if err := os.WriteFile(root+"/source", []byte(strings.Repeat("x", 100_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s.get(t, root, "", map[string]any{"url": "file://" + root + "/source"}), modules.Changed)
	wantFailure(t, s.get(t, root, "", map[string]any{"url": "file://" + root + "/none", "force": true}), "no such file")
}

func TestGetURLFailures(t *testing.T) {
	s, root := newShop(t), modulestest.Dir(t)
	missing := s.get(t, root, "nothing", nil)
	wantFailure(t, missing, "404")
	want := modules.Result{"status_code": 404, "response": "HTTP Error 404: Not Found", "url": s.URL + "/nothing", "elapsed": 0}
	for key, value := range want {
		if missing.Result[key] != value {
			t.Errorf("%s is %v, want %v", key, missing.Result[key], value)
		}
	}
	wantFailure(t, s.get(t, root, "closed", nil), "401")
	wantStatus(t, s.get(t, root, "closed", map[string]any{"url_username": "me", "url_password": "very-secret", "headers": map[string]any{"X-Site": "a"}}), modules.Changed)
	s.Close()
	out := s.get(t, root, "small", map[string]any{"force": true, "url": strings.Replace(s.URL, "http://", "http://me:very-secret@", 1) + "/small"})
	wantFailure(t, out, "fetching http://me:xxxxx@127.0.0.1")
	if strings.Contains(out.Message, "very-secret") {
		t.Errorf("the password stands in %q", out.Message)
	}
	for _, args := range []map[string]any{
		{"url": "ftp://x/y"}, {"url": "file:relative"}, {"checksum": "sha256:abc"}, {"checksum": "crc:00"}, {"timeout": 0}, {"use_proxy": true},
	} {
		all := map[string]any{"url": "http://h/f", "dest": "/d"}
		for key, value := range args {
			all[key] = value
		}
		refused(t, "get_url", all)
	}
}

func TestLawGetURL(t *testing.T) {
	s := newShop(t)
	law(t, "get_url", plantFiles, func(t *rapid.T, root string) map[string]any {
		return given(t, map[string]any{"url": s.URL + "/" + some(t, "name", "small", "large", "named", "gone"), "dest": root + "/" + some(t, "dest", "f", "d", "l", "new", "hole", "d/x")}, map[string][]any{
			"force": {true}, "mode": {"0600", "a+x"}, "backup": {true}, "checksum": {"sha256:" + sha256Of("one\n"), "sha256:" + s.URL + "/sums"},
		})
	})
}
