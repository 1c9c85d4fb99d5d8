package expression

import (
	"maps"
	"strings"
)

// What Ansible has and rbdplay has not, with the reason: refused by name when an
// expression is compiled, so that nobody takes it for a slip.
var (
	laterFilters = refusals(
		refusal{"it makes links in HTML, which nothing here shows", "urlize"},
		refusal{"ansible.utils; filters of lists and mappings do the same: combine, dict2items, selectattr, json", "consolidate fact_diff get_path index_of keep_keys param_list_compare remove_keys replace_keys to_paths validate"},
		refusal{"XML is not read or written", "from_xml to_xml parse_xml"},
		refusal{"it is for network devices", "parse_cli parse_cli_textfsm vlan_parser vlan_expander comp_type5 type5_pw hash_salt"},
		refusal{
			"community.general is not part of ansible-core", "json_query community.general.json_query community.general.counter community.general.crc32 " +
				"community.general.dict community.general.dict_kv community.general.from_csv community.general.groupby_as_dict " +
				"community.general.hashids_decode community.general.hashids_encode community.general.jc community.general.lists_mergeby " +
				"community.general.random_mac community.general.time community.general.to_days community.general.to_hours " +
				"community.general.to_milliseconds community.general.to_minutes community.general.to_months community.general.to_seconds " +
				"community.general.to_time_unit community.general.to_weeks community.general.to_years community.general.unicode_normalize " +
				"community.general.version_sort",
		},
	)
	laterTests = refusals(
		refusal{"encrypted values are decrypted when their file is read, so none is encrypted here", "vault_encrypted vaulted_file"},
		refusal{"ansible.utils; the lookup pipe can ask with getent", "resolvable"},
		refusal{"ansible.utils", "validate"},
		refusal{"it came after ansible-core 2.14", "timedout"},
		refusal{"community.general is not part of ansible-core", "community.general.a_module"},
	)
	laterFunctions = refusals(
		refusal{"it makes filler text", "lipsum"},
		refusal{"texts are not translated", "gettext _ ngettext"},
	)
	laterLookups = refusals(
		refusal{"it tells settings of Ansible's own", "config"},
		refusal{"expressions contact nobody; the module uri does, with delegate_to: localhost", "url"},
		refusal{"ansible.utils", "get_path index_of to_paths validate"},
	)
)

// refusal is why the names are not there.
type refusal struct{ why, names string }

func refusals(all ...refusal) map[string]string {
	why := map[string]string{}
	for _, r := range all {
		for name := range strings.FieldsSeq(r.names) {
			why[name] = r.why
		}
	}
	return why
}

// later has these by the word that names them in messages.
var later = map[string]map[string]string{"filter": laterFilters, "test": laterTests, "function": laterFunctions, "lookup": laterLookups}

// Refused are the names that Ansible has and that are refused, each with the
// reason. What is "filter", "test", "function" or "lookup".
func Refused(what string) map[string]string { return maps.Clone(later[what]) }
