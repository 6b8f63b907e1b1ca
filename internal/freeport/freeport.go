// Package freeport finds ports for servers that tests and benchmarks start, and reports whether one is taken: Caddy itself would
// share a port with another Caddy, and each would get some of the requests.
package freeport

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// Ports are taken from below those that systems give to outgoing connections (32768 and up on Linux, 49152 elsewhere): no
// connection of a busy test takes one between finding and using it. As long as a process lives it listens on a second port for each that it was
// given, so that no other process is given the same one.
const first, last, reserved = 20000, 25999, 6000

var (
	mu           sync.Mutex
	reservations []net.Listener
)

// Next returns a loopback port that nothing listens on, and that no living process has been given.
func Next() (string, error) {
	mu.Lock()
	defer mu.Unlock()
	for range 1000 {
		port := first + rand.IntN(last-first+1) //nolint:gosec // keeps no secret
		hold, err := listen(port + reserved)
		if err != nil {
			continue // given
		}
		l, err := listen(port)
		if err != nil {
			_ = hold.Close()
			continue // taken
		}
		reservations = append(reservations, hold)
		return strconv.Itoa(port), l.Close()
	}
	return "", errors.New("no port is free")
}

func listen(port int) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:"+strconv.Itoa(port))
}

// Taken reports whether something listens on a loopback port.
func Taken(ctx context.Context, port string) (bool, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, l.Close()
}
