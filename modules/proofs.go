package modules

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strings"
)

// proofsTable is written by the conformance suite (go test ./modules -run TestProofs
// -update), which fails when it is stale.
//
//go:embed proofs.csv
var proofsTable string

// Proof says what machines have proved of a module; each field is "yes: by what",
// or says why not.
type Proof struct {
	Module, Check, Diff, Idempotence, Cancel, Systems string
}

// Proofs reads the table, in the order of the modules' names.
func Proofs() ([]Proof, error) {
	return ParseProofs(proofsTable)
}

// ParseProofs reads a table as ProofsText writes it.
func ParseProofs(text string) ([]Proof, error) {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("the table of proofs: %w", err)
	}
	var proofs []Proof
	for i, row := range rows {
		if len(row) != 6 {
			return nil, fmt.Errorf("the table of proofs: row %d has %d cells", i+1, len(row))
		}
		proofs = append(proofs, Proof{row[0], row[1], row[2], row[3], row[4], row[5]})
	}
	return proofs, nil
}

// ProofsText is the table as it is kept.
func ProofsText(proofs []Proof) (string, error) {
	var out strings.Builder
	w := csv.NewWriter(&out)
	for _, p := range proofs {
		if err := w.Write([]string{p.Module, p.Check, p.Diff, p.Idempotence, p.Cancel, p.Systems}); err != nil {
			return "", fmt.Errorf("the table of proofs: %w", err)
		}
	}
	w.Flush()
	return out.String(), w.Error()
}
