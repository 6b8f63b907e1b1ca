package operator

// What the tests of this package's exported half need to know of its bounds.
const (
	ImportWhole = importWhole
	ImportPart  = importPart
	ImportBad   = importBad
	ImportCosts = importCosts
)

// Dearest is dearest.
var Dearest = dearest
