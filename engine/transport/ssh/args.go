package ssh

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ApplyArgs obeys what Ansible's ansible_ssh_common_args and
// ansible_ssh_extra_args give to ssh, as far as it has a meaning here. What it
// would not obey is an error that names it. Fields of c that are set already are
// left alone, except that keys are added.
func (c *Config) ApplyArgs(text string) error {
	words, err := splitWords(text)
	if err != nil {
		return fmt.Errorf("ssh arguments %q: %w", text, err)
	}
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		if len(word) < 2 || word[0] != '-' || word == "--" {
			return fmt.Errorf("ssh argument %q: only options can be given here", word)
		}
		if quiet := strings.Trim(word[1:], "qTnxaN"); quiet == "" {
			continue // no terminal, no forwarding, no chatter: as we do anyway
		}
		option, value := word[:2], word[2:]
		if value == "" {
			if len(words) == 0 || strings.IndexByte("oipJFl", option[1]) < 0 {
				return fmt.Errorf("ssh argument %s: is not supported, or lacks its value", word)
			}
			value, words = words[0], words[1:]
		}
		if err := c.applyArg(option, value); err != nil {
			return fmt.Errorf("ssh argument %s %s: %w", option, value, err)
		}
	}
	return nil
}

var errNotObeyed = errors.New("is not supported by rbdplay's own ssh client; remove it")

func (c *Config) applyArg(option, value string) error {
	switch option {
	case "-o":
		key, text, found := strings.Cut(value, "=")
		if !found {
			key, text, found = strings.Cut(strings.TrimSpace(value), " ")
		}
		if !found {
			return errors.New("wants Key=value")
		}
		return c.applyOption(strings.ToLower(strings.TrimSpace(key)), strings.Trim(strings.TrimSpace(text), `"`))
	case "-i":
		c.KeyFiles = append(c.KeyFiles, value)
	case "-p":
		return c.applyOption("port", value)
	case "-J":
		return c.applyOption("proxyjump", value)
	case "-F":
		setDefault(&c.ConfigFile, value)
	case "-l":
		setDefault(&c.User, value)
	default:
		return errNotObeyed
	}
	return nil
}

func (c *Config) applyOption(key, value string) error {
	switch key {
	case "port":
		port, err := parsePort(value)
		setDefault(&c.Port, port)
		return err
	case "user":
		setDefault(&c.User, value)
	case "hostname":
		setDefault(&c.Address, value)
	case "identityfile":
		c.KeyFiles = append(c.KeyFiles, value)
	case "identitiesonly":
		return setBool(value, func(yes bool) { c.IdentitiesOnly = c.IdentitiesOnly || yes })
	case "proxyjump":
		_, err := parseJump(value)
		setDefault(&c.Jump, value)
		return err
	case "proxycommand":
		return fmt.Errorf("%w; for \"ssh -W %%h:%%p HOST\" write -J HOST", errNotObeyed)
	case "userknownhostsfile":
		if len(c.KnownHostsFiles) == 0 {
			c.KnownHostsFiles = strings.Fields(value)
		}
	case "stricthostkeychecking":
		mode := hostKeyChecking(value)
		if !slices.Contains([]HostKeyChecking{Strict, AcceptNew, NoCheck}, mode) {
			return errors.New("use yes, accept-new or no")
		}
		setDefault(&c.StrictHostKeyChecking, mode)
	case "connecttimeout":
		return setSeconds(value, &c.Timeout)
	case "serveraliveinterval":
		return setSeconds(value, &c.Keepalive)
	default:
		return c.applyMethod(key, value)
	}
	return nil
}

// applyMethod obeys the options about ways to log in, and lets pass what is so
// anyway.
func (c *Config) applyMethod(key, value string) error {
	switch key {
	case "preferredauthentications":
		for method := range strings.SplitSeq(value, ",") {
			if slices.Contains(allMethods, method) {
				c.Methods = append(c.Methods, method)
			}
		}
		if len(c.Methods) == 0 {
			return fmt.Errorf("names none of %s", strings.Join(allMethods, ", "))
		}
	case "passwordauthentication":
		return c.allow("password", value)
	case "kbdinteractiveauthentication", "challengeresponseauthentication":
		return c.allow("keyboard-interactive", value)
	case "pubkeyauthentication":
		return c.allow("publickey", value)
	case "controlmaster", "controlpersist", "controlpath", "batchmode", "loglevel", "tcpkeepalive", "requesttty", "checkhostip":
		// One connection is kept for the whole run, and nobody is asked, anyway.
	case "gssapiauthentication", "gssapidelegatecredentials", "forwardagent", "forwardx11", "compression", "hashknownhosts",
		"updatehostkeys", "visualhostkey", "permitlocalcommand", "verifyhostkeydns":
		if !strings.EqualFold(value, "no") {
			return errNotObeyed
		}
	default:
		return errNotObeyed
	}
	return nil
}

var allMethods = []string{"publickey", "password", "keyboard-interactive"}

func (c *Config) allow(method, value string) error {
	return setBool(value, func(yes bool) {
		if yes {
			return
		}
		if c.Methods == nil {
			c.Methods = slices.Clone(allMethods)
		}
		c.Methods = slices.DeleteFunc(c.Methods, func(m string) bool { return m == method })
	})
}

func setBool(text string, set func(bool)) error {
	switch strings.ToLower(text) {
	case "yes", "true":
		set(true)
	case "no", "false":
		set(false)
	default:
		return errors.New("wants yes or no")
	}
	return nil
}

func setSeconds(text string, field *time.Duration) error {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "s"))
	if err != nil || n <= 0 || n > 1<<20 {
		return errors.New("wants a number of seconds above zero")
	}
	setDefault(field, time.Duration(n)*time.Second)
	return nil
}

// splitWords splits as a shell does, without any expansion: quotes and backslash.
func splitWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote := false, rune(0)
	escaped := false
	for _, r := range text {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
