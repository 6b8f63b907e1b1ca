package bolt

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLockHolders(t *testing.T) {
	const locks = `1: POSIX  ADVISORY  WRITE 10 fd:00:42 0 EOF
2: FLOCK  ADVISORY  WRITE 11 fd:00:42 0 EOF
2: -> FLOCK  ADVISORY  WRITE 12 fd:00:42 0 EOF
3: FLOCK  ADVISORY  READ  13 00:1f:42 0 EOF
4: FLOCK  ADVISORY  WRITE 14 fd:00:142 0 EOF
5: FLOCK  ADVISORY  WRITE -1 fd:00:42 0 EOF
6: FLOCK  ADVISORY  WRITE 0 fd:00:42 0 EOF
7: FLOCK
nonsense
8: FLOCK  ADVISORY  WRITE x fd:00:42 0 EOF
9: FLOCK  ADVISORY  WRITE 15 42 0 EOF
`
	want := map[int]string{11: "fd:00", 13: "00:1f"}
	if diff := cmp.Diff(want, lockHolders(locks, 42)); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
}
