package modules

// runningModules lists the running modules, in the order of the documentation.
func runningModules() []Spec {
	return []Spec{commandSpec(), shellSpec(), scriptSpec(), rawSpec(), waitForSpec(), waitForConnectionSpec(), rebootSpec(), pauseSpec(), asyncStatusSpec(), openFilesSpec(), uriSpec(), pingSpec()}
}
