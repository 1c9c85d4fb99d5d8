package modules

// languageModules lists the language modules, in the order of the documentation.
func languageModules() []Spec {
	return []Spec{
		debugSpec(), assertSpec(), setFactSpec(), failSpec(), metaSpec(), includeVarsSpec(), addHostSpec(), groupBySpec(),
	}
}
