// Package interop proves that verifiers in other languages agree with package identity: its tests hand freshly minted
// assertions and the corpus of refusals to verify.mjs (npm jose) and verify.py (jwcrypto), which are also the examples to copy
// into an app. They run with the build tag interop.
package interop
