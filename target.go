package firefly

// Target says who gets a push: a Session, a PlayerID, Players, a Group, Everyone, or one of
// these with Except around it. The set is closed.
//
// A push to a player who is not online, or to a group without members, is dropped and is no
// error.
type Target interface{ target() }

// Players is a list of players.
type Players []PlayerID

// Group is a name, cluster-wide. The group exists while a session is in it; sessions enter
// with Session.Join and leave with Session.Leave or when they end.
type Group string

type everyone struct{}

// Everyone is every bound session of the cluster.
var Everyone Target = everyone{}

// Excepted is a target without some of its players. It is made by Except.
type Excepted struct {
	To      Target
	Players []PlayerID
}

// Except is to without the players named.
func Except(to Target, players ...PlayerID) Target { return Excepted{To: to, Players: players} }

func (PlayerID) target() {}
func (Players) target()  {}
func (Group) target()    {}
func (everyone) target() {}
func (Excepted) target() {}

// IsTarget makes a type a Target by embedding. The runtime's sessions, and fakes of
// sessions in tests, embed it; nothing else should.
type IsTarget struct{}

func (IsTarget) target() {}
