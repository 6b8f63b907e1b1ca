package gate

import (
	"math/bits"
	"reflect"
	"testing"
)

// TestARequestStateIsSmall: the allocator hands out 640 bytes and then 704, for each request that goes on. A field that takes it beyond
// is a decision.
func TestARequestStateIsSmall(t *testing.T) {
	const most = 640
	if n := reflect.TypeFor[requestState]().Size(); n > most && bits.UintSize == 64 {
		t.Errorf("a requestState takes %d bytes, more than %d", n, most)
	}
}
