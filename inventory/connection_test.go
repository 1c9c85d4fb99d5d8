package inventory

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/diag"
)

func lookupIn(h *Host) Lookup {
	return func(name string) (any, diag.Range, bool, error) {
		v, ok := h.Variable(name)
		if !ok {
			return nil, diag.Range{}, false, nil
		}
		value, err := v.plain()
		return value, v.Range, true, err
	}
}

func lookupMap(values map[string]any) Lookup {
	return func(name string) (any, diag.Range, bool, error) {
		value, ok := values[name]
		return value, diag.Range{File: name}, ok, nil
	}
}

func TestConnectionOf(t *testing.T) {
	yes, no := true, false
	got, err := ConnectionOf("web1", lookupMap(map[string]any{
		"ansible_connection": "smart", "ansible_host": "10.0.0.1", "ansible_port": "2222", "ansible_ssh_port": 1,
		"ansible_user": "op", "ansible_ssh_pass": "p", "ansible_private_key_file": "~/.ssh/id",
		"ansible_ssh_common_args": "-J jump", "ansible_ssh_extra_args": "-4", "ansible_timeout": 2.5,
		"ansible_host_key_checking": "no", "ansible_become": "yes", "ansible_become_user": "root",
		"ansible_become_method": "sudo", "ansible_become_pass": 1234,
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := Connection{
		Kind: SSH, Address: "10.0.0.1", Port: 2222, User: "op", Password: "p", KeyFile: "~/.ssh/id",
		CommonArgs: "-J jump", ExtraArgs: "-4", HostKeyChecking: &no, Timeout: 2500 * time.Millisecond,
		Become: &yes, BecomeUser: "root", BecomeMethod: "sudo", BecomePassword: "1234",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	got, err = ConnectionOf("web2", lookupMap(nil))
	if diff := cmp.Diff(Connection{Address: "web2"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestConnectionFaultsComeTogether(t *testing.T) {
	_, err := ConnectionOf("web1", lookupMap(map[string]any{
		"ansible_connection": "docker", "ansible_port": 0, "ansible_become": "perhaps", "ansible_timeout": "soon",
		"ansible_host": []any{"a"},
	}))
	list, ok := errors.AsType[diag.List](err)
	if !ok || len(list) != 5 {
		t.Fatalf("got %v", err)
	}
}
