package modules

import "errors"

// FetchArgs are the arguments of fetch.
type FetchArgs struct {
	onController
	Src              string `arg:"src,required" type:"path" doc:"The file on the host, absolute. A link is followed; directories are not fetched."`
	Dest             string `arg:"dest,required" doc:"A folder of the controller, in which the file goes to HOST/SRC. A relative one is beside the playbook."`
	Flat             bool   `arg:"flat" default:"no" doc:"dest is the file itself, or when it ends in a slash the folder that takes it under its own name."`
	FailOnMissing    bool   `arg:"fail_on_missing" default:"yes" doc:"A src that is not there is a failure."`
	ValidateChecksum bool   `arg:"validate_checksum" default:"yes" doc:"Only yes is supported: a copy is put in place only when it has the checksum that the host saw."`
}

func fetchSpec() Spec {
	return Spec{
		Name:    "fetch",
		Summary: "Copy a file of the host to the controller",
		Place:   OnController,
		New:     func() Module { return &FetchArgs{} },
		Notes: []string{
			"The content is streamed into a temporary file beside its destination, which takes the old one's place whole. Check mode reads the host's file, as earlier tasks would leave it, and writes nothing on the controller: what later tasks take from dest there is what is there now.",
			"With flat, several hosts must not write the same file: give each its own dest.",
		},
		Returns: []Return{
			{Name: "dest", Type: "string", Doc: "The file of the controller."},
			{Name: "file", Type: "string", Doc: "The file of the host."},
			{Name: "checksum", Type: "string", Doc: "SHA-1 of the file of the controller."},
			{Name: "remote_checksum", Type: "string", Doc: "SHA-1 of the file of the host."},
			{Name: "msg", Type: "string", Doc: "That src is not there, with fail_on_missing: no."},
		},
		Examples: []Example{
			{"The logs of all hosts, each in a folder of its own", `
fetch:
  src: /var/log/keepalived.log
  dest: collected
  fail_on_missing: no`},
			{"One file", `
fetch:
  src: /etc/kubernetes/kubeconfig
  dest: "{{ playbook_dir }}/kubeconfig"
  flat: yes`},
		},
	}
}

// Validate refuses what is not supported.
func (a *FetchArgs) Validate() error {
	switch {
	case !a.ValidateChecksum:
		return errors.New("validate_checksum can only be yes")
	case a.Dest == "":
		return errors.New("dest is empty")
	}
	return nil
}
