package modules

import (
	"errors"
	"fmt"
)

// WaitForConnectionArgs are the arguments of wait_for_connection.
type WaitForConnectionArgs struct {
	onController
	Delay          float64 `arg:"delay" default:"0" doc:"Seconds to wait before the first try."`
	Timeout        float64 `arg:"timeout" default:"600" doc:"Seconds after which to give up."`
	Sleep          float64 `arg:"sleep" default:"1" doc:"Seconds between two tries."`
	ConnectTimeout float64 `arg:"connect_timeout" default:"5" doc:"Seconds that one try may take."`
}

func waitForConnectionSpec() Spec {
	return Spec{
		Name:    "wait_for_connection",
		Summary: "Wait until a host can be reached and its agent answers",
		Place:   OnController,
		New:     func() Module { return &WaitForConnectionArgs{} },
		Notes: []string{
			"It gives up the connection that there is and makes a new one. In check mode it tries once; a host that does not answer then defers the task.",
			"A play with hosts that are not up yet needs gather_facts: no, since a host that gathering facts could not reach is out of the play.",
		},
		Returns:  []Return{{Name: "elapsed", Type: "int", Doc: "Seconds that it took.", Run: true}},
		Examples: []Example{{"Machines that were just made", "wait_for_connection:\n  timeout: 300\n  delay: 5"}},
	}
}

// Validate wants times that make sense.
func (a *WaitForConnectionArgs) Validate() error {
	if a.Delay < 0 || a.Sleep < 0 || a.Timeout <= 0 || a.ConnectTimeout <= 0 {
		return errors.New("wait_for_connection: timeout and connect_timeout want seconds above 0, delay and sleep 0 or more")
	}
	return nil
}

// RebootArgs are the arguments of reboot.
type RebootArgs struct {
	onController
	PreRebootDelay  float64 `arg:"pre_reboot_delay" default:"0" doc:"Seconds to wait before the reboot."`
	PostRebootDelay float64 `arg:"post_reboot_delay" default:"0" doc:"Seconds to wait once the host has gone down and come back, before test_command."`
	RebootTimeout   float64 `arg:"reboot_timeout" default:"600" doc:"Seconds that the host has to come back, and again to pass test_command."`
	ConnectTimeout  float64 `arg:"connect_timeout" default:"10" doc:"Seconds that one try to connect may take."`
	TestCommand     string  `arg:"test_command" default:"whoami" doc:"A command that must succeed on the host that came back."`
	BootTimeCommand string  `arg:"boot_time_command" default:"cat /proc/sys/kernel/random/boot_id" doc:"A command whose output is another after each boot."`
	RebootCommand   string  `arg:"reboot_command" default:"shutdown -r now" doc:"The command that reboots."`
	Msg             string  `arg:"msg" default:"Reboot initiated by rbdplay" doc:"What users of the host are told; the last word of the default reboot_command."`
}

func rebootSpec() Spec {
	return Spec{
		Name:    "reboot",
		Summary: "Reboot a host and wait until it is back",
		Place:   OnController,
		New:     func() Module { return &RebootArgs{} },
		Notes: []string{
			"It is back when boot_time_command says something else than before and test_command succeeds. The machine that rbdplay itself runs on is refused.",
			"Check mode says that it would reboot. What the host looks like afterwards is not known there: tasks that ask its network are deferred.",
		},
		Returns: []Return{
			{Name: "rebooted", Type: "bool", Doc: "Whether it was rebooted.", Run: true},
			{Name: "elapsed", Type: "int", Doc: "Seconds that it took.", Run: true},
		},
		Examples: []Example{{"After a new kernel", "reboot:\n  reboot_timeout: 900"}},
	}
}

// Validate wants times that make sense and commands that can be split.
func (a *RebootArgs) Validate() error {
	if a.PreRebootDelay < 0 || a.PostRebootDelay < 0 || a.RebootTimeout <= 0 || a.ConnectTimeout <= 0 {
		return errors.New("reboot: reboot_timeout and connect_timeout want seconds above 0, the delays 0 or more")
	}
	for name, command := range map[string]string{"test_command": a.TestCommand, "boot_time_command": a.BootTimeCommand, "reboot_command": a.RebootCommand} {
		if words, err := SplitWords(command); err != nil || len(words) == 0 {
			return fmt.Errorf("reboot: %s: no command is given", name)
		}
	}
	return nil
}
