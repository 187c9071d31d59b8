//go:build !race

package idl_test

// shrink divides the size of huge inputs; see race_test.go.
const shrink = 3
