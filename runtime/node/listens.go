package node

import "github.com/firefly-go/firefly"

// mergeListens are the limits of a gate: what the launch file sets, key by key, over what the
// role declares.
func mergeListens(declared firefly.Listens, launch *firefly.Listens) firefly.Listens {
	m := declared
	if launch == nil {
		return m
	}
	set(&m.MaxFrame, launch.MaxFrame)
	set(&m.MaxConnections, launch.MaxConnections)
	set(&m.MaxPerAddress, launch.MaxPerAddress)
	set(&m.HandshakeTimeout, launch.HandshakeTimeout)
	set(&m.IdleTimeout, launch.IdleTimeout)
	set(&m.Rate, launch.Rate)
	set(&m.MaxQueue, launch.MaxQueue)
	set(&m.Resume, launch.Resume)
	if c := launch.Classic; c != nil {
		var merged firefly.Classic
		if m.Classic != nil {
			merged = *m.Classic
		}
		if c.Magic != nil {
			merged.Magic = c.Magic
		}
		set(&merged.Version, c.Version)
		if c.Body != "" && c.Body != merged.Body {
			// How errors are answered follows the body unless it is said.
			merged.Body, merged.Errors = c.Body, ""
		}
		set(&merged.Errors, c.Errors)
		m.Classic = &merged
	}
	return m
}

func set[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}
