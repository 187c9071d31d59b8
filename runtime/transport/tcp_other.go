//go:build !linux

package transport

// TCP is Std on this system: netpoll is used on Linux only.
func TCP() Network { return Std() }
