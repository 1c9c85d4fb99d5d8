package modules

// fileModules lists the file modules, in the order of the documentation.
func fileModules() []Spec {
	return []Spec{
		fileSpec(),
		copySpec(),
		templateSpec(),
		lineinfileSpec(),
		blockinfileSpec(),
		replaceSpec(),
		iniFileSpec(),
		hostsSpec(),
		assembleSpec(),
		statSpec(),
		findSpec(),
		tempfileSpec(),
		slurpSpec(),
		fetchSpec(),
		moveSpec(),
		synchronizeSpec(),
		compareTreesSpec(),
		unarchiveSpec(),
		getURLSpec(),
	}
}
