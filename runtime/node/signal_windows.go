package node

import "os"

func stopSignals() []os.Signal { return []os.Signal{os.Interrupt} }

// pipeSignals has a signal, since none would mean all of them.
func pipeSignals() []os.Signal { return []os.Signal{os.Interrupt} }
