package modules

// fileModules lists the file modules, in the order of the documentation.
func fileModules() []Spec {
	return []Spec{
		lineinfileSpec(),
		blockinfileSpec(),
		replaceSpec(),
		hostsSpec(),
	}
}
