package modules

// runningModules lists the running modules, in the order of the documentation.
func runningModules() []Spec {
	return []Spec{commandSpec(), shellSpec(), waitForSpec(), asyncStatusSpec(), openFilesSpec(), uriSpec(), pingSpec()}
}
