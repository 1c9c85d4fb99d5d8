package modules_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// TestAccountProgramsAreLeftToFinish cancels while useradd works: it and the programs
// after it do their work, since half a user would be neither old nor new.
func TestAccountProgramsAreLeftToFinish(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"useradd":  "touch began; until test -e go; do sleep 0.05; done; touch added",
		"chpasswd": "cat > password",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\ncd "+dir+"\n"+text+"\n"), 0o755); err != nil { // a program
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	users := sys.NewReal().Change().Users()
	go func() {
		ended <- users.AddUser(ctx, sys.NewAccount{Account: sys.Account{User: sys.User{Name: "x"}, Password: "$6$x", Expires: -1, MaxAge: -1, MinAge: -1}})
	}()
	for !isThere(t, dir+"/began") {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !isThere(t, dir+"/added") || !isThere(t, dir+"/password") {
		t.Error("the user was not added whole")
	}
	if err := users.AddUser(ctx, sys.NewAccount{}); err == nil {
		t.Error("a cancelled task began to add a user")
	}
}

func isThere(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return err == nil
}
