//go:build gc && (amd64 || arm64)

package mailbox

// goroutine tells the calling goroutine from every other that lives: it is the address of
// the runtime's record of it, which does not move.
func goroutine() uintptr
