// Package rooms says what world and chat must agree on about rooms.
package rooms

import "github.com/firefly-go/firefly"

// Group is the group of everybody in a room: world lets sessions join it, chat speaks to it.
func Group(room string) firefly.Group { return firefly.Group("room/" + room) }
