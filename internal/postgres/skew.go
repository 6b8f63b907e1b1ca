package postgres

import (
	"fmt"
	"time"
)

// describeSkew says by how much the clock of this machine is wrong, and what to do.
func describeSkew(skew time.Duration) string {
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	return fmt.Sprintf("the clock of this machine is %s %s the database's: set both by NTP (timedatectl set-ntp true)", skew.Abs().Round(time.Second), direction)
}
