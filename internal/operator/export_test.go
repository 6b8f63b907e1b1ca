package operator

// What the tests of this package's exported half need to know of its bounds.
const (
	MaxAtomic   = maxAtomic
	BatchSize   = batchSize
	MaxBadLines = maxBadLines
	MaxCosts    = maxCosts
)

// MaximalCosts is maximalCosts.
var MaximalCosts = maximalCosts
