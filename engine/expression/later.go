package expression

// What Ansible has and rbdplay has not: refused by name when an expression is
// compiled, so that nobody takes it for a slip.
var (
	laterFilters = []string{
		"consolidate", "fact_diff", "from_xml", "get_path", "index_of", "keep_keys", "param_list_compare",
		"remove_keys", "replace_keys", "to_paths", "to_xml", "type5_pw", "hash_salt", "parse_cli", "parse_cli_textfsm",
		"parse_xml", "vlan_parser", "vlan_expander", "comp_type5", "validate", "urlize",
		"community.general.json_query", "json_query", "community.general.counter", "community.general.crc32",
		"community.general.dict", "community.general.dict_kv", "community.general.from_csv",
		"community.general.groupby_as_dict", "community.general.hashids_decode", "community.general.hashids_encode",
		"community.general.jc", "community.general.lists_mergeby", "community.general.random_mac",
		"community.general.time", "community.general.to_days", "community.general.to_hours",
		"community.general.to_milliseconds", "community.general.to_minutes", "community.general.to_months",
		"community.general.to_seconds", "community.general.to_time_unit", "community.general.to_weeks",
		"community.general.to_years", "community.general.unicode_normalize", "community.general.version_sort",
	}
	laterTests     = []string{"resolvable", "vault_encrypted", "vaulted_file", "validate", "timedout", "community.general.a_module"}
	laterFunctions = []string{"lipsum", "gettext", "_", "ngettext"}
	laterLookups   = []string{"config", "url", "get_path", "index_of", "to_paths", "validate"}
)

// later has these lists by the word that names them in messages.
var later = map[string][]string{"filter": laterFilters, "test": laterTests, "function": laterFunctions}
