package sys

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Accounts reads passwd, shadow and group.
func (u *realUsers) Accounts(ctx context.Context) (Accounts, error) {
	if err := ctx.Err(); err != nil {
		return Accounts{}, err
	}
	texts := map[string]string{}
	for _, file := range []string{"/etc/passwd", "/etc/shadow", "/etc/group"} {
		text, err := os.ReadFile(file)
		if err != nil {
			return Accounts{}, fmt.Errorf("reading the users and groups of the host: %w", err)
		}
		texts[file] = string(text)
	}
	return parseAccounts(texts["/etc/passwd"], texts["/etc/shadow"], texts["/etc/group"])
}

// parseAccounts reads the three files. Lines of NIS ("+::") and blank ones are not
// the host's own and are passed over; any other that cannot be read is an error.
func parseAccounts(passwd, shadow, group string) (Accounts, error) {
	var all Accounts
	secrets := map[string][]string{}
	for line := range localLines(shadow) {
		fields := strings.Split(line, ":")
		if len(fields) != 9 {
			return all, fmt.Errorf("/etc/shadow has a line of %d fields where there should be 9", len(fields)) // the line itself is a secret
		}
		secrets[fields[0]] = fields
	}
	for line := range localLines(passwd) {
		user, err := parseUser(line)
		if err != nil {
			return all, fmt.Errorf("/etc/passwd: the line %q cannot be read: %w", line, err)
		}
		account := Account{User: user, Comment: strings.Split(line, ":")[4], Expires: -1, MaxAge: -1, MinAge: -1}
		if err := account.readSecrets(secrets[user.Name]); err != nil {
			return all, fmt.Errorf("/etc/shadow: user %s: %w", user.Name, err)
		}
		all.Users = append(all.Users, account)
	}
	for line := range localLines(group) {
		g, err := parseGroup(line)
		if err != nil {
			return all, fmt.Errorf("/etc/group: the line %q cannot be read: %w", line, err)
		}
		members := strings.FieldsFunc(strings.Split(line, ":")[3], func(c rune) bool { return c == ',' })
		all.Groups = append(all.Groups, LocalGroup{Group: g, Members: members})
	}
	return all, nil
}

// localLines yields the lines that stand for an entry of the host's own.
func localLines(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\n")
			if line == "" || strings.ContainsAny(line[:1], "+-#") {
				continue
			}
			if !yield(line) {
				return
			}
		}
	}
}

// readSecrets takes what shadow says; a user without a line there has no secrets.
func (a *Account) readSecrets(fields []string) error {
	if fields == nil {
		return nil
	}
	a.Password = fields[1]
	for i, into := range map[int]*int{3: &a.MinAge, 4: &a.MaxAge, 7: &a.Expires} {
		if fields[i] == "" {
			continue
		}
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return fmt.Errorf("field %d is no number", i+1)
		}
		*into = n
	}
	return nil
}
