package modules

// clusterModules lists the cluster modules, in the order of the documentation.
func clusterModules() []Spec {
	return []Spec{
		glusterPeerSpec(), glusterVolumeSpec(), glusterHealInfoSpec(),
		composeSpec(), mysqlExecSpec(), mysqlQuerySpec(), keepalivedSpec(), vrrpListenSpec(), grctlSpec(),
	}
}
