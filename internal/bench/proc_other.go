//go:build !linux

package main

import "time"

func cpuOf(int) (time.Duration, error) { return 0, errNoAccounting }

func memoryOf(int) (memory, error) { return memory{}, errNoAccounting }

func written() (float64, error) { return 0, errNoAccounting }

func load() string { return "" }

func raiseFiles(int) error { return errNoAccounting }
