//go:build !apps

package integration

// checkBans needs fail2ban: see its namesake with the build tag apps.
func (w *world) checkBans(string) {}
