package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/config"
	"github.com/rbdplay/rbdplay/engine/transport/ssh"
)

// configure lets the configuration say what the command line does not. What it
// does not obey is told on standard error.
func (f *runFlags) configure(s *streams) error {
	var err error
	if f.settings, err = config.Load(os.Environ()); err != nil {
		return err
	}
	for _, warning := range f.settings.Warnings {
		fmt.Fprintln(s.err, "warning:", warning)
	}
	if f.isSet == nil { // a command that has none of these flags
		f.isSet = func(string) bool { return false }
	}
	get := f.settings.Get
	if len(f.inventories) == 0 {
		for _, source := range get("inventory").Paths(",") {
			f.inventories = append(f.inventories, expandHome(source, os.Getenv("HOME")))
		}
	}
	f.texts()
	if forks := get("forks"); forks.IsSet() && !f.isSet("forks") {
		if f.forks, err = forks.Int(); err != nil {
			return err
		}
	}
	if timeout := get("timeout"); timeout.IsSet() && !f.isSet("timeout") {
		if f.connection.timeout, err = timeout.Int(); err != nil {
			return err
		}
	}
	return errors.Join(f.truths(), f.hostKeys(s))
}

// texts fills in the settings that are texts.
func (f *runFlags) texts() {
	get := f.settings.Get
	for _, one := range []struct {
		into  *string
		value string
	}{
		{&f.connection.user, get("remote_user").Text},
		{&f.connection.privateKey, get("private_key_file").Path()},
		{&f.connection.commonArgs, get("ssh_common_args").Text},
		{&f.connection.extraArgs, get("ssh_extra_args").Text},
		{&f.become.BecomeUser, get("become_user").Text},
		{&f.become.BecomeMethod, get("become_method").Text},
	} {
		if *one.into == "" {
			*one.into = one.value
		}
	}
}

// truths fills in the settings that are true or false.
func (f *runFlags) truths() error {
	var faults error
	for _, one := range []struct {
		into       *bool
		flag, name string
	}{
		{&f.become.Become, "become", "become"},
		{&f.askPassword, "ask-pass", "ask_pass"},
		{&f.askBecomePassword, "ask-become-pass", "become_ask_pass"},
	} {
		value, err := f.settings.Get(one.name).Bool()
		faults = errors.Join(faults, err)
		if !f.isSet(one.flag) {
			*one.into = value
		}
	}
	return faults
}

// hostKeys obeys host_key_checking as far as the rule that host keys are checked
// allows: without checking, the key of a new host is noted and a changed one is
// still refused.
func (f *runFlags) hostKeys(s *streams) error {
	setting := f.settings.Get("host_key_checking")
	checking, err := setting.Bool()
	if err != nil || !setting.IsSet() || checking || f.connection.hostKeys != "" {
		return err
	}
	f.connection.hostKeys = string(ssh.AcceptNew)
	fmt.Fprintf(s.err, "warning: %s: host keys are checked all the same: those of new hosts are noted (accept-new), changed ones are refused\n", setting.Place)
	return nil
}

// rolesPath are the folders of roles, absolute.
func (f *runFlags) rolesPath() []string {
	setting := f.settings.Get("roles_path")
	var folders []string
	for _, folder := range setting.Paths(":") {
		folders = append(folders, expandHome(folder, os.Getenv("HOME")))
	}
	return folders
}
