// Package freeport finds ports for servers that tests and benchmarks start.
package freeport

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken from below those that systems give to outgoing connections (32768 and up on Linux, 49152 elsewhere): no
// connection of a busy test takes one between finding and using it.
const first, last = 20000, 31999

var (
	mu    sync.Mutex
	given = map[int]bool{}
)

// Next returns a loopback port that nothing listens on, and that this process has not been given before.
func Next() (string, error) {
	mu.Lock()
	defer mu.Unlock()
	for range 1000 {
		port := first + rand.IntN(last-first+1) //nolint:gosec // keeps no secret
		if given[port] {
			continue
		}
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue // taken
		}
		given[port] = true
		return strconv.Itoa(port), l.Close()
	}
	return "", errors.New("no port is free")
}
