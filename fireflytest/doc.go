// Package fireflytest runs a whole game in one process, for tests of games: every role on its
// nodes, with real gates, real links and a store, over an in-process network. Nothing listens
// on a port and nothing is written, so tests may run beside each other, and inside
// testing/synctest, where time is fake.
//
//	func TestJoin(t *testing.T) {
//		g := fireflytest.Start(t, arenapb.GateRole(gate.New), arenapb.WorldRole(world.New))
//		c, err := arenaclient.Dial(t.Context(), g.Addr(), &client.Options{Network: g.Network()})
//		...
//		g.Kill("world-1")
//	}
package fireflytest
