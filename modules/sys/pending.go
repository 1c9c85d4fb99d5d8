package sys

import "context"

// What stands here makes the package build until each facility lands in its own
// file; every type and constructor below is then deleted from here.

type (
	realPackages struct {
		PackageReader
		PackageWriter
	}
	realUnits struct {
		UnitReader
		UnitWriter
	}
	realMounts struct {
		MountReader
		MountWriter
	}
	realUsers     struct{ UserReader }
	realResources struct {
		ResourceReader
		ResourceWriter
	}
	realNetwork  struct{ NetworkReader }
	realSystem   struct{ pendingSystem }
	realCommands struct{ pendingCommands }

	shadowPackages struct {
		PackageReader
		PackageWriter
	}
	shadowUnits struct {
		UnitReader
		UnitWriter
	}
	shadowMounts struct {
		MountReader
		MountWriter
	}
	shadowUsers     struct{ UserReader }
	shadowResources struct {
		ResourceReader
		ResourceWriter
	}
	shadowNetwork  struct{ NetworkReader }
	shadowSystem   struct{ pendingSystem }
	shadowCommands struct{ pendingCommands }
)

type pendingSystem interface {
	System(ctx context.Context) (System, error)
}

type pendingCommands interface {
	Probe(ctx context.Context, c Command) (Result, error)
	Run(ctx context.Context, c Command) (Result, error)
}

func newRealPackages() *realPackages   { return &realPackages{} }
func newRealUnits() *realUnits         { return &realUnits{} }
func newRealMounts() *realMounts       { return &realMounts{} }
func newRealUsers() *realUsers         { return &realUsers{} }
func newRealResources() *realResources { return &realResources{} }
func newRealNetwork() *realNetwork     { return &realNetwork{} }
func newRealSystem() *realSystem       { return &realSystem{} }
func newRealCommands() *realCommands   { return &realCommands{} }

func newShadowPackages(*Shadow) *shadowPackages   { return &shadowPackages{} }
func newShadowUnits(*Shadow) *shadowUnits         { return &shadowUnits{} }
func newShadowMounts(*Shadow) *shadowMounts       { return &shadowMounts{} }
func newShadowUsers(*Shadow) *shadowUsers         { return &shadowUsers{} }
func newShadowResources(*Shadow) *shadowResources { return &shadowResources{} }
func newShadowNetwork(*Shadow) *shadowNetwork     { return &shadowNetwork{} }
func newShadowSystem(*Shadow) *shadowSystem       { return &shadowSystem{} }
func newShadowCommands(*Shadow) *shadowCommands   { return &shadowCommands{} }

func (*realMounts) List(context.Context) ([]Mount, error)   { return nil, nil }
func (*shadowMounts) List(context.Context) ([]Mount, error) { return nil, nil }
