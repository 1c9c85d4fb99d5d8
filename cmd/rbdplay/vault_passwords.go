package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/config"
	"github.com/rbdplay/rbdplay/engine/program"
	"github.com/rbdplay/rbdplay/engine/vault"
)

// vaultFlags say where vault passwords come from.
type vaultFlags struct {
	files, ids []string
	ask        bool
}

func (f *vaultFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVar(&f.files, "vault-password-file", nil, "`file` with the vault password, or a program that prints it (may be given again)")
	flags.StringArrayVar(&f.ids, "vault-id", nil, "vault password as `LABEL@SOURCE`: a file, a program or prompt (may be given again)")
	flags.BoolVarP(&f.ask, "ask-vault-pass", "J", false, "ask for the vault password")
}

// keyring gets the passwords: those of the configuration first, as Ansible does.
func (f *vaultFlags) keyring(ctx context.Context, s *streams, settings *config.Config) (*vault.Keyring, error) {
	list := settings.Get("vault_identity_list")
	var sources []string
	for part := range strings.SplitSeq(list.Text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			label, source := splitVaultID(part)
			if source != "prompt" {
				source = list.Seen(source)
			}
			sources = append(sources, label+"@"+source)
		}
	}
	sources = append(sources, f.ids...)
	files := f.files
	if one := settings.Get("vault_password_file"); len(files) == 0 && one.IsSet() {
		files = []string{one.Path()}
	}
	for _, file := range files {
		sources = append(sources, vault.DefaultID+"@"+file)
	}
	ask, err := settings.Get("ask_vault_pass").Bool()
	if err != nil {
		return nil, err
	}
	if f.ask || ask && len(sources) == 0 {
		sources = append(sources, vault.DefaultID+"@prompt")
	}
	var passwords []vault.Password
	for _, source := range sources {
		p, err := vaultPassword(ctx, s, source, false)
		if err != nil {
			return nil, err
		}
		passwords = append(passwords, p)
	}
	return vault.NewKeyring(passwords...), nil
}

// splitVaultID splits LABEL@SOURCE; a source alone has the default label.
func splitVaultID(id string) (label, source string) {
	label, source, found := strings.Cut(id, "@")
	if !found {
		return vault.DefaultID, id
	}
	if label == "" {
		label = vault.DefaultID
	}
	return label, source
}

// vaultPassword gets one password of LABEL@SOURCE. A new one is asked for twice.
func vaultPassword(ctx context.Context, s *streams, id string, isNew bool) (vault.Password, error) {
	label, source := splitVaultID(id)
	var text string
	var err error
	if source == "prompt" || source == "prompt_ask_vault_pass" {
		text, err = s.askVaultPassword(ctx, label, isNew)
	} else {
		text, err = readPassword(ctx, expandHome(source, os.Getenv("HOME")), label)
	}
	if err != nil {
		return vault.Password{}, err
	}
	return vault.NewPassword(label, text)
}

func (s *streams) askVaultPassword(ctx context.Context, label string, isNew bool) (string, error) {
	prompt := "Vault password: "
	if isNew {
		prompt = "New vault password: "
	}
	if label != vault.DefaultID {
		prompt = strings.TrimSuffix(prompt, ": ") + " (" + label + "): "
	}
	text, err := s.askSecret(ctx, prompt)
	if err != nil || !isNew {
		return text, err
	}
	again, err := s.askSecret(ctx, "Once more: ")
	if err == nil && again != text {
		err = errors.New("the two passwords are not the same")
	}
	return text, err
}

// readPassword reads a password file, or what it prints when it may be executed.
func readPassword(ctx context.Context, name, label string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", fmt.Errorf("the vault password file: %w", err)
	}
	if info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
		return runPassword(ctx, name, label)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("the vault password file: %w", err)
	}
	if vault.IsEncrypted(text) {
		return "", fmt.Errorf("the vault password file %s is encrypted itself", name)
	}
	password := strings.TrimSpace(string(text))
	if password == "" {
		return "", fmt.Errorf("the vault password file %s is empty", name)
	}
	return password, nil
}

// runPassword runs a program for a password. One whose name ends in -client is
// told which label is wanted. What it prints is in no error; its complaints are.
func runPassword(ctx context.Context, name, label string) (string, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	argv := []string{path}
	if base := filepath.Base(name); strings.HasSuffix(strings.TrimSuffix(base, filepath.Ext(base)), "-client") {
		argv = append(argv, "--vault-id", label)
	}
	out, err := program.Run(ctx, program.Command{Argv: argv, Most: 64 << 10})
	switch _, noPath := errors.AsType[*fs.PathError](err); {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case noPath:
		return "", fmt.Errorf("the vault password program %w; a file that only holds the password must not be executable", err)
	case err != nil:
		return "", fmt.Errorf("the vault password program %s: %w: %s", name, err, out.Complaints())
	}
	password := strings.Trim(string(out.Stdout), "\r\n")
	if password == "" {
		return "", fmt.Errorf("the vault password program %s prints nothing", name)
	}
	return password, nil
}
