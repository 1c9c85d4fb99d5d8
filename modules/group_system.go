package modules

// systemModules lists the system modules, in the order of the documentation.
func systemModules() []Spec {
	return []Spec{packageSpec(), systemdSpec(), mountSpec(), setupSpec()}
}
