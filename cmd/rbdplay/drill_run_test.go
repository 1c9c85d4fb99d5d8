package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDrillPlan holds which nodes go, and with which. Each step is for a cluster that
// is as the playbook told of it.
func TestDrillPlan(t *testing.T) {
	one := cluster{Storage: "glusterfs", Holder: "compute02", Manage: map[string]string{"manage01": "10.0.0.11"}, Gateway: map[string]string{"compute01": "10.0.0.12", "compute02": "10.0.0.13"}}
	two := one
	two.Storage, two.ManageVIP, two.ManageHolder = "existing", "10.0.0.101", "manage02"
	two.Manage = map[string]string{"manage01": "10.0.0.11", "manage02": "10.0.0.14"}
	type step struct {
		Title string
		Hosts []string
	}
	for name, test := range map[string]struct {
		cluster cluster
		flags   drillFlags
		want    []step
	}{
		"one management node": {one, drillFlags{level: 2, powerOff: "off"}, []step{
			{"keepalived on the holder of the VIP", []string{"compute02"}},
			{"rbd-lb on the holder of the VIP", []string{"compute02"}},
			{"brick on the holder of the VIP", []string{"compute02"}},
			{"management on manage01", []string{"manage01"}},
			{"power on manage01", []string{"manage01"}},
			{"power on the holder of the VIP", []string{"compute02"}},
			{"power on the other gateway", []string{"compute01"}},
		}},
		"two": {two, drillFlags{level: 2, powerOff: "off"}, []step{
			{"keepalived on the holder of the VIP", []string{"compute02"}},
			{"rbd-lb on the holder of the VIP", []string{"compute02"}},
			{"management on the holder of manage_vip", []string{"manage02"}},
			{"power on the holder of manage_vip", []string{"manage02"}},
			{"management on all management nodes", []string{"manage01", "manage02"}},
			{"power on all management nodes", []string{"manage01", "manage02"}},
			{"power on the holder of the VIP", []string{"compute02"}},
			{"power on the other gateway", []string{"compute01"}},
		}},
		"level 1, services": {two, drillFlags{level: 1}, []step{
			{"keepalived on the holder of the VIP", []string{"compute02"}},
			{"rbd-lb on the holder of the VIP", []string{"compute02"}},
		}},
	} {
		d := &drill{drillFlags: &test.flags, cluster: test.cluster}
		var got []step
		for _, s := range d.plan() {
			got = append(got, step{s.title(), d.hosts(s)})
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (- want, + planned):\n%s", name, diff)
		}
	}
}
