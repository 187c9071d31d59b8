//go:build !gc || !(amd64 || arm64)

package mailbox

// goroutine tells the calling goroutine from every other that lives.
func goroutine() uintptr { return uintptr(goroutineID()) }
