package lookup_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine/lookup"
)

// ansibleNames is what Jinja2 3.1, ansible-core 2.14 and ansible.utils have.
var ansibleNames = map[string]string{
	"filter": `
		abs attr b64decode b64encode basename batch bool capitalize center checksum cidr_merge combinations combine
		comment consolidate count d default dict2items dictsort difference dirname e escape expanduser expandvars
		extract fileglob filesizeformat first flatten float forceescape format from_json from_xml from_yaml
		from_yaml_all get_path groupby hash human_readable human_to_bytes hwaddr indent index_of int intersect ip4_hex
		ipaddr ipmath ipsubnet ipv4 ipv6 ipwrap items items2dict join keep_keys last length list log lower macaddr
		mandatory map max md5 min network_in_network network_in_usable next_nth_usable nthhost param_list_compare
		password_hash path_join permutations pow pprint previous_nth_usable product quote random realpath
		reduce_on_network regex_escape regex_findall regex_replace regex_search reject rejectattr rekey_on_member
		relpath remove_keys replace replace_keys reverse root round safe select selectattr sha1 shuffle slaac slice
		sort split splitext strftime string striptags subelements sum symmetric_difference ternary title to_datetime
		to_json to_nice_json to_nice_yaml to_paths to_uuid to_xml to_yaml tojson trim truncate type_debug union unique
		unvault upper urldecode urlencode urlize urlsplit usable_range validate vault win_basename win_dirname
		win_splitdrive wordcount wordwrap xmlattr zip zip_longest`,
	"test": `
		!= < <= == > >= abs all any boolean callable change changed contains defined directory divisibleby eq equalto
		escaped even exists failed failure false falsy file filter finished float ge greaterthan gt in in_any_network
		in_network in_one_network integer ip ip_address ipv4 ipv4_address ipv4_hostmask ipv4_netmask ipv6 ipv6_address
		ipv6_ipv4_mapped ipv6_sixtofour ipv6_teredo is_abs is_dir is_file is_link is_mount is_same_file isnan issubset
		issuperset iterable le lessthan link link_exists loopback lower lt mac mapping match mount multicast nan ne
		none number odd private public reachable regex reserved resolvable same_file sameas search sequence skip
		skipped started string subnet_of subset succeeded success successful supernet_of superset test true truthy
		undefined unreachable unspecified upper uri url urn validate vault_encrypted version version_compare`,
	"lookup": `
		config csvfile dict env file fileglob first_found indexed_items ini inventory_hostnames items lines list
		nested password pipe random_choice sequence subelements template together unvault url varnames vars`,
	"function": "cycler dict joiner lipsum lookup namespace now q query range undef",
}

// TestNames: whatever Ansible has is there, or is refused as not supported yet;
// nothing is taken for a slip.
func TestNames(t *testing.T) {
	env := lookup.Environment(nil)
	calls := map[string]string{"filter": "x | %s", "test": "x is %s", "lookup": "lookup('%s')", "function": "%s()"}
	later := map[string][]string{}
	for kind, names := range ansibleNames {
		for name := range strings.FieldsSeq(names) {
			_, err := env.Compile(fmt.Sprintf(calls[kind], name), nil)
			if err == nil {
				continue
			}
			switch text := err.Error(); {
			case strings.Contains(text, "is not supported yet"):
				later[kind] = append(later[kind], name)
			case strings.Contains(text, "there is no"):
				t.Errorf("the %s %s is not known: %v", kind, name, err)
			}
		}
	}
	for kind, most := range map[string]int{"filter": 14, "test": 3, "lookup": 3, "function": 1} {
		if len(later[kind]) > most {
			t.Errorf("more %ss than before are not supported: %v", kind, later[kind])
		}
	}
}
