package probe

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestProbeMeasuresAGap(t *testing.T) {
	defer goleak.VerifyNone(t)
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "app.test" || broken.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()
	p := Start(t.Context(), HTTP(server.URL, "app.test", http.StatusOK), Often)
	defer p.Stop()
	time.Sleep(100 * time.Millisecond)
	if r := p.Result(); r.Lost != 0 || r.Requests == 0 || !p.Answering() {
		t.Fatalf("a healthy server: %+v, answering %v", r, p.Answering())
	}
	p.Reset()
	broken.Store(true)
	time.Sleep(700 * time.Millisecond)
	if p.Answering() {
		t.Error("a broken server counts as answering")
	}
	broken.Store(false)
	for range 100 {
		if p.Answering() {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if r := p.Result(); r.Gap < 600*time.Millisecond || r.Wrong < 10 || r.Lost != 0 {
		t.Errorf("a gap of 700 ms was measured as %+v", r)
	}
}

func TestProbeTellsLostFromWrong(t *testing.T) {
	defer goleak.VerifyNone(t)
	server := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusFound))
	ask := HTTP(server.URL, "", http.StatusOK)
	if got := ask(t.Context()); got != Wrong {
		t.Errorf("a redirect is %v, want wrong: it is not followed", got)
	}
	if got := HTTP(server.URL, "", http.StatusFound)(t.Context()); got != Answered {
		t.Errorf("the status that is wanted is %v", got)
	}
	if status, err := Status(t.Context(), server.URL, ""); err != nil || status != http.StatusFound {
		t.Errorf("Status = %d, %v", status, err)
	}
	server.Close()
	if got := ask(t.Context()); got != Lost {
		t.Errorf("a server that is gone is %v", got)
	}
	if _, err := Status(t.Context(), server.URL, ""); err == nil {
		t.Error("a server that is gone has a status")
	}
}

// TestNamesTakesWhicheverAnswers: a client asks the next server when one is gone.
func TestNamesTakesWhicheverAnswers(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // after the server has ended
	good := nameServer(t, netip.MustParseAddr("10.0.0.100"))
	gone := "127.0.0.1:1"
	for _, test := range []struct {
		servers []string
		address string
		want    Outcome
	}{
		{[]string{gone, good}, "10.0.0.100", Answered},
		{[]string{good}, "10.0.0.1", Wrong},
		{[]string{gone}, "10.0.0.100", Lost},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if got := Names("goodrain.me", test.address, test.servers)(ctx); got != test.want {
			t.Errorf("%v for %s: %v, want %v", test.servers, test.address, got, test.want)
		}
		cancel()
	}
}

// nameServer answers every question for an address with one.
func nameServer(t *testing.T, address netip.Addr) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for buffer := make([]byte, 2048); ; {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			end := 12
			for end < n && buffer[end] != 0 {
				end += int(buffer[end]) + 1
			}
			answer := append([]byte{}, buffer[:end+5]...) // header and question
			answer[2], answer[3] = 0x84, 0                // an authoritative answer
			if buffer[end+2] == 1 {                       // to a question for an A record
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4)
				answer = append(answer, address.AsSlice()...)
			}
			answer[11] = 0 // no extras
			_, _ = conn.WriteTo(answer, from)
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		done.Wait()
	})
	return conn.LocalAddr().String()
}
