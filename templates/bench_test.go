package templates

import (
	"testing"
	"time"
)

// BenchmarkLoad is what a start or a changed file costs: every template and sample in every language.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		if _, err := Load(Options{Dir: dir, Location: time.UTC}); err != nil {
			b.Fatal(err)
		}
	}
}
