package modules

// systemModules lists the system modules, in the order of the documentation.
func systemModules() []Spec {
	return []Spec{
		packageSpec(), aptSpec(), dnfSpec(), aptRepositorySpec(), yumRepositorySpec(), systemdSpec(), userSpec(), groupSpec(), authorizedKeySpec(), cronSpec(),
		hostnameSpec(), sysctlSpec(), mountSpec(), filesystemSpec(), setupSpec(),
	}
}
