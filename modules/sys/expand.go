package sys

import (
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

var variablePattern = lazy.Regexp(`\$(\w+|\{[^}]*\})`)

// expandWords replaces variables and a leading ~ in words, as Ansible does before
// it starts a program: the names are those of env, and one that is not there is
// left as it is written. A ~ of a user that is not there is left too.
func expandWords(words, env []string) ([]string, error) {
	values := map[string]string{}
	for _, v := range env {
		if name, value, ok := strings.Cut(v, "="); ok {
			values[name] = value // the last one wins
		}
	}
	expanded := make([]string, len(words))
	for i, word := range words {
		word = variablePattern().ReplaceAllStringFunc(word, func(found string) string {
			if value, ok := values[strings.Trim(found[1:], "{}")]; ok {
				return value
			}
			return found
		})
		var err error
		if expanded[i], err = expandHome(word, values["HOME"]); err != nil {
			return nil, err
		}
	}
	return expanded, nil
}

// expandHome replaces ~ and ~user at the beginning of word.
func expandHome(word, home string) (string, error) {
	if !strings.HasPrefix(word, "~") {
		return word, nil
	}
	name, rest, _ := strings.Cut(word[1:], "/")
	if name != "" || home == "" {
		u, err := userNamed(name)
		if errors.As(err, new(user.UnknownUserError)) {
			return word, nil
		}
		if err != nil {
			return "", fmt.Errorf("the home of ~%s: %w", name, err)
		}
		home = u.HomeDir
	}
	if len(word) == len(name)+1 {
		return home, nil
	}
	return filepath.Clean("/"+home) + "/" + rest, nil
}

func userNamed(name string) (*user.User, error) {
	if name == "" {
		return user.Current()
	}
	return user.Lookup(name)
}
