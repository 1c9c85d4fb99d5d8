package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/config"
	"github.com/rbdplay/rbdplay/engine/vault"
)

// vaultCommand is what the commands of vault share.
type vaultCommand struct {
	*streams
	flags    vaultFlags
	newIDs   []string // of rekey
	newFiles []string
	encrypt  string // the label to encrypt with
	output   string
	names    []string
	stdin    string // the name of what standard input holds

	settings *config.Config
	keys     *vault.Keyring
}

func newVault(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "vault",
		Short: "Encrypt and decrypt files as ansible-vault does",
		Long: `Encrypts and decrypts files as ansible-vault does: format 1.1, and 1.2 with an id.
A file named - is standard input, and the result goes to standard output. Files are
replaced as a whole and keep their mode.
` + exitCodes,
	}
	for _, one := range []struct {
		use, short string
		args       cobra.PositionalArgs
		run        func(v *vaultCommand, ctx context.Context, args []string) error
	}{
		{"encrypt [FILE...]", "Encrypt files", cobra.ArbitraryArgs, (*vaultCommand).runEncrypt},
		{"decrypt [FILE...]", "Decrypt files", cobra.ArbitraryArgs, (*vaultCommand).runDecrypt},
		{"view FILE...", "Show what encrypted files hold", cobra.MinimumNArgs(1), (*vaultCommand).runView},
		{"edit FILE...", "Edit encrypted files with $EDITOR", cobra.MinimumNArgs(1), (*vaultCommand).runEdit},
		{"create FILE", "Write a new encrypted file with $EDITOR", wants("FILE"), (*vaultCommand).runCreate},
		{"rekey FILE...", "Encrypt files with another password", cobra.MinimumNArgs(1), (*vaultCommand).runRekey},
		{"encrypt-string [TEXT...]", "Encrypt texts for values in YAML", cobra.ArbitraryArgs, (*vaultCommand).runEncryptString},
	} {
		v := &vaultCommand{streams: s}
		sub := &cobra.Command{Use: one.use, Short: one.short, Long: one.short + ".\n" + exitCodes, Args: one.args}
		sub.RunE = func(c *cobra.Command, args []string) error {
			if err := v.prepare(c.Context()); err != nil {
				return err
			}
			return one.run(v, c.Context(), args)
		}
		v.addFlags(sub)
		c.AddCommand(sub)
	}
	return c
}

func (v *vaultCommand) addFlags(c *cobra.Command) {
	v.flags.add(c)
	flags := c.Flags()
	switch c.Name() {
	case "rekey":
		flags.StringArrayVar(&v.newIDs, "new-vault-id", nil, "the new password as `LABEL@SOURCE`")
		flags.StringArrayVar(&v.newFiles, "new-vault-password-file", nil, "`file` with the new password, or a program that prints it")
	case "encrypt", "create", "encrypt-string":
		flags.StringVar(&v.encrypt, "encrypt-vault-id", "", "the `label` to encrypt with, where several passwords are given")
	}
	switch c.Name() {
	case "encrypt", "decrypt", "encrypt-string":
		flags.StringVar(&v.output, "output", "", "write to this `file` instead, or with - to standard output")
	}
	if c.Name() == "encrypt-string" {
		flags.StringArrayVarP(&v.names, "name", "n", nil, "`name` of the variable, one for each text")
		flags.StringVar(&v.stdin, "stdin-name", "", "read a text from standard input, for the variable of this `name`")
	}
}

func (v *vaultCommand) prepare(ctx context.Context) error {
	var err error
	if v.settings, err = config.Load(os.Environ()); err != nil {
		return err
	}
	v.keys, err = v.flags.keyring(ctx, v.streams, v.settings)
	return err
}

// opening makes sure that there is a password to decrypt with, as ansible-vault
// does: it asks when none was given.
func (v *vaultCommand) opening(ctx context.Context) error {
	if len(v.keys.Passwords()) > 0 {
		return nil
	}
	p, err := vaultPassword(ctx, v.streams, vault.DefaultID+"@prompt", false)
	if err != nil {
		return fmt.Errorf("%w; %s", err, vault.NoPasswordHint)
	}
	v.keys = vault.NewKeyring(p)
	return nil
}

// sealing gives the password to encrypt with.
func (v *vaultCommand) sealing(ctx context.Context) (vault.Password, error) {
	label := v.encrypt
	if label == "" {
		label = v.settings.Get("vault_encrypt_identity").Text
	}
	passwords := v.keys.Passwords()
	if label == "" && len(passwords) == 0 {
		p, err := vaultPassword(ctx, v.streams, vault.DefaultID+"@prompt", true)
		if err != nil {
			return p, fmt.Errorf("%w; %s", err, vault.NoPasswordHint)
		}
		return p, nil
	}
	if label == "" && len(passwords) == 1 {
		return passwords[0], nil
	}
	var known []string
	for _, p := range passwords {
		if p.ID == label {
			return p, nil
		}
		known = append(known, p.ID)
	}
	if label == "" {
		return vault.Password{}, fmt.Errorf("several vault passwords are given (%s); choose one with --encrypt-vault-id", strings.Join(known, ", "))
	}
	return vault.Password{}, fmt.Errorf("no password is given for the vault id %s", label)
}

// content reads a file, or standard input for "-".
func (v *vaultCommand) content(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(v.in)
	}
	return os.ReadFile(name)
}

// opened is the content of an encrypted file, and the password that opened it.
func (v *vaultCommand) opened(name string) ([]byte, vault.Password, error) {
	text, err := v.content(name)
	if err != nil {
		return nil, vault.Password{}, err
	}
	if !vault.IsEncrypted(text) {
		return nil, vault.Password{}, fmt.Errorf("%s is not encrypted with ansible-vault", name)
	}
	plain, password, err := v.keys.Open(text)
	if err != nil {
		return nil, password, fmt.Errorf("%s: %w", name, err)
	}
	return plain, password, nil
}

// store puts the result where it belongs.
func (v *vaultCommand) store(name string, text []byte) error {
	if v.output != "" {
		name = v.output
	}
	if name == "-" {
		_, err := v.out.Write(text)
		return err
	}
	return replaceFile(name, text)
}

// replaceFile puts a file in place as a whole; one that is there keeps its mode
// and owner, a new one is its writer's alone. A link stays one.
func replaceFile(name string, text []byte) error {
	mode, owner := fs.FileMode(0o600), -1
	group := -1
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	info, err := os.Stat(name)
	switch {
	case err == nil:
		mode = info.Mode().Perm()
		owner, group = ownerOf(info)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".rbdplay-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is gone once it was renamed
	if owner >= 0 && (owner != os.Geteuid() || group != os.Getegid()) {
		err = f.Chown(owner, group)
	}
	_, writing := f.Write(text)
	if err := errors.Join(err, f.Chmod(mode), writing, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// each does something to every file; without a name that is standard input.
func (v *vaultCommand) each(names []string, do func(name string) error) error {
	if len(names) == 0 {
		names = []string{"-"}
	}
	if v.output != "" && v.output != "-" && len(names) > 1 {
		return errors.New("--output takes one file only")
	}
	for _, name := range names {
		if err := do(name); err != nil {
			return err
		}
	}
	return nil
}

func (v *vaultCommand) runEncrypt(ctx context.Context, names []string) error {
	password, err := v.sealing(ctx)
	if err != nil {
		return err
	}
	return v.each(names, func(name string) error {
		plain, err := v.content(name)
		if err != nil {
			return err
		}
		if vault.IsEncrypted(plain) {
			return fmt.Errorf("%s is encrypted already", name)
		}
		text, err := vault.Encrypt(plain, password)
		if err != nil {
			return err
		}
		return v.store(name, text)
	})
}

func (v *vaultCommand) runDecrypt(ctx context.Context, names []string) error {
	if err := v.opening(ctx); err != nil {
		return err
	}
	return v.each(names, func(name string) error {
		plain, _, err := v.opened(name)
		if err != nil {
			return err
		}
		return v.store(name, plain)
	})
}

func (v *vaultCommand) runView(ctx context.Context, names []string) error {
	v.output = "-"
	return v.runDecrypt(ctx, names)
}

func (v *vaultCommand) runRekey(ctx context.Context, names []string) error {
	if err := v.opening(ctx); err != nil {
		return err
	}
	source := vault.DefaultID + "@prompt"
	switch {
	case len(v.newIDs)+len(v.newFiles) > 1:
		return errors.New("only one new password can be given")
	case len(v.newIDs) == 1:
		source = v.newIDs[0]
	case len(v.newFiles) == 1:
		source = vault.DefaultID + "@" + v.newFiles[0]
	}
	password, err := vaultPassword(ctx, v.streams, source, true)
	if err != nil {
		return err
	}
	return v.each(names, func(name string) error {
		plain, _, err := v.opened(name)
		if err != nil {
			return err
		}
		text, err := vault.Encrypt(plain, password)
		if err != nil {
			return err
		}
		return v.store(name, text)
	})
}

// runEncryptString prints each text as a value for YAML. Standard input is read
// when no text is given, and with --stdin-name.
func (v *vaultCommand) runEncryptString(ctx context.Context, texts []string) error {
	password, err := v.sealing(ctx)
	if err != nil {
		return err
	}
	names := v.names
	if len(names) > len(texts) {
		return fmt.Errorf("--name %s has no text", names[len(texts)])
	}
	if len(texts) == 0 || v.stdin != "" {
		text, err := io.ReadAll(v.in)
		if err != nil {
			return err
		}
		texts, names = append([]string{string(text)}, texts...), append([]string{v.stdin}, names...)
	}
	var out strings.Builder
	for i, text := range texts {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		encrypted, err := vault.Encrypt([]byte(text), password)
		if err != nil {
			return err
		}
		out.WriteString(inlineVault(name, string(encrypted)))
	}
	if v.output == "" {
		v.output = "-"
	}
	return v.store(v.output, []byte(out.String()))
}

// inlineVault is a vault as a value in YAML.
func inlineVault(name, text string) string {
	var out strings.Builder
	if name != "" {
		out.WriteString(name + ": ")
	}
	out.WriteString("!vault |\n")
	for line := range strings.Lines(text) {
		out.WriteString("          " + line)
	}
	return out.String()
}
