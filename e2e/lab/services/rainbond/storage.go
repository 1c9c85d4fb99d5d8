package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// runWorker is rbd-worker: it never stops writing into /grdata, so that a
// copy taken under it is seen to be torn.
func runWorker(ctx context.Context, _ []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, presence("rbd-worker"), ":6369") })
	group.Go(func() error { return journal(ctx, "/grdata/services/worker", time.Second) })
	return group.Wait()
}

// runEventLog is rbd-eventlog: it writes its log below /grdata/downloads/log,
// which its compose file mounts at /grdata/logs.
func runEventLog(ctx context.Context, _ []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, presence("rbd-eventlog"), ":6363", ":6367") })
	group.Go(func() error { return journal(ctx, "/grdata/logs/eventlog", time.Second) })
	return group.Wait()
}

// journal appends one numbered line per tick to dir/journal and rewrites one
// of 60 small files. Numbers go on after a restart, so a line lost while
// /grdata moved shows as a gap in them. A failed write is logged and tried
// again: a storage that went away must not take the component with it.
func journal(ctx context.Context, dir string, every time.Duration) error {
	for {
		if err := writeEntry(dir); err != nil {
			log.Print(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func writeEntry(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, "journal")
	last, err := lastNumber(path)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%d %s\n", last+1, time.Now().UTC().Format(time.RFC3339Nano))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(line)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("entry-%02d", last%60)), []byte(line), 0o644)
}

// lastNumber reads the number of the last line of a journal, 0 if there is none.
func lastNumber(path string) (int, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	number, _, _ := strings.Cut(lines[len(lines)-1], " ")
	if number == "" {
		return 0, nil
	}
	return strconv.Atoi(number)
}
