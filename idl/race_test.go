//go:build race

package idl_test

// shrink divides the size of huge inputs: they are about how time grows with size, and the race
// detector makes it grow tenfold.
const shrink = 20
