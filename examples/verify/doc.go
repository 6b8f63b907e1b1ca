// Package verify holds the tests of the examples below it: apps in Go, Node and Python that verify the assertion. They are run as
// programs behind a real gate, and judge freshly minted assertions and the corpus of refusals of package identity. They need the
// build tag interop.
package verify
