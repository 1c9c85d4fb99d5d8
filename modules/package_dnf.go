package modules

import (
	"context"
	"fmt"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// DnfArgs are the arguments of dnf and yum.
type DnfArgs struct {
	PackageWish
	PackageHold
	EnableRepo  []string `arg:"enablerepo" doc:"Repositories that count for this task besides the enabled ones, by their ids."`
	DisableRepo []string `arg:"disablerepo" doc:"Repositories that do not count for this task, by their ids; * for all."`
}

func dnfSpec() Spec {
	return Spec{
		Name:    "dnf",
		Aliases: []string{"yum", "ansible.builtin.yum"},
		Summary: "Install, upgrade and remove packages with dnf or yum",
		Place:   OnHost,
		New:     func() Module { return &DnfArgs{} },
		Notes: []string{
			"The host's own program is used, dnf where there is one, else yum. What package says of changes and lists holds here too.",
			"Groups, modules, files and addresses of packages, wildcards, exclude, releasever, security, bugfix and the other options of Ansible's dnf are refused.",
			"In check mode, a transaction after another with other repositories is deferred: dnf simulates only one at a time.",
		},
		Returns: packageSpec().Returns,
		Examples: []Example{{"From a repository that is not enabled", `
dnf:
  name: glusterfs-server
  enablerepo: centos-gluster10`}},
	}
}

func (a *DnfArgs) task() packageTask {
	t := packageTask{module: "dnf", managers: []string{"dnf", "yum"}, PackageWish: &a.PackageWish, options: a.options()}
	t.options.AllowChangeHeld = a.AllowChangeHeldPackages
	t.options.Enable, t.options.Disable = strings.Join(a.EnableRepo, ","), strings.Join(a.DisableRepo, ",")
	return t
}

var repositoryID = lazy.Regexp(`^[A-Za-z0-9*][A-Za-z0-9._:*-]*$`)

// Validate holds the names of repositories, which become part of an option.
func (a *DnfArgs) Validate() error {
	for option, ids := range map[string][]string{"enablerepo": a.EnableRepo, "disablerepo": a.DisableRepo} {
		for _, id := range ids {
			if !repositoryID().MatchString(id) {
				return fmt.Errorf("dnf: %s: %q is no id of a repository", option, id)
			}
		}
	}
	return a.task().validate()
}

// Plan asks what the transaction would be.
func (a *DnfArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	return a.task().plan(ctx, host)
}
