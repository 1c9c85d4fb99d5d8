package transport_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine/transport"
)

func TestSecretNeverPrints(t *testing.T) {
	const text = "hunter2"
	s := transport.NewSecret(text)
	inside := struct{ Password transport.Secret }{s}
	marshalled, err := json.Marshal(inside)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		fmt.Sprint(s), fmt.Sprintf("%s %q %v %+v %#v %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%+v %#v", inside, &inside),
		string(marshalled), fmt.Errorf("wrapped: %v", s).Error(),
	} {
		if strings.Contains(shown, text) || strings.Contains(shown, fmt.Sprintf("%x", text)) {
			t.Errorf("the secret shows: %s", shown)
		}
	}
	if s.Reveal() != text || !s.IsSet() || (transport.Secret{}).IsSet() {
		t.Error("the secret is lost")
	}
}

func TestTail(t *testing.T) {
	var tail transport.Tail
	select {
	case <-tail.Grew():
		t.Fatal("grew before any write")
	default:
	}
	for range 3 {
		_, _ = tail.Write([]byte(strings.Repeat("x", 3000)))
	}
	_, _ = tail.Write([]byte("end"))
	<-tail.Grew()
	if got := tail.String(); len(got) != 4096 || !strings.HasSuffix(got, "xend") {
		t.Errorf("kept %d bytes", len(got))
	}
}

func TestUnreachableError(t *testing.T) {
	err := &transport.UnreachableError{Host: "web1", Address: "10.0.0.1:22", Summary: "connection refused", Hint: "is sshd running?"}
	if got := err.Error(); got != "web1 (10.0.0.1:22): connection refused; is sshd running?" {
		t.Error(got)
	}
}
