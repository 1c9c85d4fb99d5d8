package e2e

import (
	"archive/tar"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const predictionTasks, predictionModules = 40, 12

// TestPrediction checks a play of more than 40 tasks on empty hosts, runs it, and
// holds both to be the same: statuses, changes, and the text that a person reads.
func TestPrediction(t *testing.T) {
	reset(t)
	args := []string{"run", "testdata/prediction/prediction.yml", "-i", cluster.Inventory, "-e", "archive=" + anArchive(t)}
	before := snapshots(t)
	checked := rbdplay(t, append(args, "--check", "--diff")...)
	if checked.code != 0 {
		t.Fatalf("the check exits with %d:\n%s", checked.code, checked.faults())
	}
	foretold := human(t, append(args, "--check", "--diff")...)
	wantUntouched(t, before, snapshots(t))
	wantLarge(t, checked)

	ran := rbdplay(t, append(args, "--diff")...)
	if ran.code != 0 {
		t.Fatalf("the run exits with %d:\n%s", ran.code, ran.faults())
	}
	wantExactly(t, checked, ran)
	again := rbdplay(t, append(args, "--diff")...)
	for host, totals := range again.hosts {
		if totals["changed"] != 0 || totals["failed"] != 0 {
			t.Errorf("the second run on %s: %v\n%s", host, totals, again.faults())
		}
	}

	reset(t)
	if diff := cmp.Diff(foretold, human(t, append(args, "--diff")...)); diff != "" {
		t.Errorf("the text of --check --diff is not that of --diff (- check, + run):\n%s", diff)
	}
}

// wantLarge holds the play to what the test claims to prove.
func wantLarge(t *testing.T, checked outcome) {
	t.Helper()
	tasks, changing := map[string]bool{}, map[string]bool{}
	for _, task := range checked.tasks {
		tasks[task.Task] = true
		if len(task.Changes) > 0 {
			changing[task.Module] = true
		}
	}
	if len(tasks) < predictionTasks || len(changing) < predictionModules {
		t.Errorf("%d tasks, and %d modules that change something; want %d and %d", len(tasks), len(changing), predictionTasks, predictionModules)
	}
}

// wantExactly holds a run to its check: nothing was deferred, and each end of a task
// has the status and the changes that were foretold.
func wantExactly(t *testing.T, checked, ran outcome) {
	t.Helper()
	if len(checked.order) != len(ran.order) {
		t.Errorf("the check showed %d ends of tasks, the run %d", len(checked.order), len(ran.order))
	}
	for _, k := range ran.order {
		predicted, actual := checked.tasks[k], ran.tasks[k]
		if predicted.Status != actual.Status {
			t.Errorf("%v: predicted %s (%s), was %s (%s)", k, predicted.Status, predicted.Msg, actual.Status, actual.Msg)
		}
		if diff := cmp.Diff(predicted.Changes, actual.Changes); diff != "" {
			t.Errorf("%v: the changes differ (- predicted, + actual):\n%s", k, diff)
		}
	}
}

var lengthOfTime = regexp.MustCompile(`\b[0-9.]+ ?(ms|s|m[0-9.]+s)\b`)

// ofCheck are the words by which a check says that it is one.
var ofCheck = strings.NewReplacer(": check, nothing is changed", "", "  deferred 0", "")

// human gives what a person reads of a run, but for times and that it is a check.
func human(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary(t), args...).Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return ofCheck.Replace(lengthOfTime.ReplaceAllString(string(out), "TIME"))
}

// anArchive makes what the play unpacks, always the same.
func anArchive(t *testing.T) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "data.tar")
	file, err := os.Create(at)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(file)
	when := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	text := "read me\n"
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "inside/", Mode: 0o755, ModTime: when},
		{Typeflag: tar.TypeReg, Name: "inside/readme", Mode: 0o644, Size: int64(len(text)), ModTime: when},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(strings.Repeat(text, int(h.Size)/len(text)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return at
}
