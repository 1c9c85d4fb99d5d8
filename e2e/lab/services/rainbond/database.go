package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// runDatabase is rbd-db: MariaDB on /data, made on the first start with a
// root that needs no password on the socket.
func runDatabase(ctx context.Context, _ []string) error {
	if err := os.MkdirAll("/run/mysqld", 0o755); err != nil {
		return err
	}
	if _, err := os.Stat("/data/mysql"); errors.Is(err, os.ErrNotExist) {
		if err := installDatabase(ctx); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	server := exec.CommandContext(ctx, "mariadbd", "--user=root", "--datadir=/data",
		"--socket=/run/mysqld/mysqld.sock", "--bind-address=0.0.0.0", "--port=3306", "--skip-name-resolve")
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	// A clean stop matters: a snapshot of the data is taken after it.
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	server.WaitDelay = 30 * time.Second
	return server.Run()
}

// installDatabase makes the system tables in a folder of their own first, so
// that a start that was cut off is made again and not half used.
func installDatabase(ctx context.Context) error {
	temporary := "/data/.install"
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "mariadb-install-db", "--user=root", "--datadir="+temporary,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve").CombinedOutput()
	if err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	entries, err := os.ReadDir(temporary)
	if err != nil {
		return err
	}
	// "mysql" is what says that the data is there: it goes last.
	for _, entry := range entries {
		if entry.Name() == "mysql" {
			continue
		}
		if err := os.Rename(filepath.Join(temporary, entry.Name()), filepath.Join("/data", entry.Name())); err != nil {
			return err
		}
	}
	if err := os.Rename(filepath.Join(temporary, "mysql"), "/data/mysql"); err != nil {
		return err
	}
	return os.RemoveAll(temporary)
}
