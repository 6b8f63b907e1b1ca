package bolt

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMOVE2_RoomIsThatOfTheDisk: also where the directory is still to be made, and the size of the file counts.
func TestMOVE2_RoomIsThatOfTheDisk(t *testing.T) {
	dir := t.TempDir()
	room, known, err := Capacity(filepath.Join(dir, "a", "b", "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	if !known {
		t.Skip("this system is not asked")
	}
	if room == 0 {
		t.Error("there is no room")
	}
	for _, path := range []string{"", filepath.Join(dir, "file", "gate.db")} {
		if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Capacity(path); err == nil {
			t.Errorf("%q has room", path)
		}
	}
	// A file that is larger than any disk, on paper.
	path := filepath.Join(dir, "large.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const large = 1 << 42
	if err := os.Truncate(path, large); err != nil {
		t.Skip("no sparse files: ", err)
	}
	if with, _, err := Capacity(path); err != nil || with < large {
		t.Errorf("%d bytes beside a file of %d: %v", with, uint64(large), err)
	}
}
