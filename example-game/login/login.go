// Package login is the code of role login: who a client is.
package login

import (
	"context"

	"example.com/arena/arenapb"

	"github.com/firefly-go/firefly"
)

// startGold is what a player begins with.
const startGold = 100

// Login binds sessions to players.
type Login struct{ *arenapb.LoginDeps }

// New makes the handler of one login node.
func New(d *arenapb.LoginDeps) arenapb.LoginHandler { return &Login{d} }

// Login binds the session to the player of that name, whom it makes when nobody had the name before.
func (l *Login) Login(ctx context.Context, s firefly.Session, req *arenapb.LoginRequest) (*arenapb.LoginReply, error) {
	id, err := l.player(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	if err := s.Bind(ctx, firefly.PlayerID(id)); err != nil {
		return nil, err
	}
	return &arenapb.LoginReply{PlayerId: id}, nil
}

// player is the id of the player of a name.
func (l *Login) player(ctx context.Context, name string) (int64, error) {
	account, err := l.Account.Get(ctx, name)
	if firefly.CodeOf(err) != firefly.NotFound {
		return account.GetPlayerId(), err
	}
	player := &arenapb.Player{Name: name, Gold: startGold}
	err = l.Tx(ctx, func(ctx context.Context, tx *arenapb.LoginTx) error {
		if err := tx.Player.Insert(ctx, player); err != nil {
			return err
		}
		return tx.Account.Insert(ctx, &arenapb.Account{Name: name, PlayerId: player.Id})
	})
	if firefly.CodeOf(err) == firefly.AlreadyExists {
		// Somebody else logged in under the same new name at the same time.
		account, err = l.Account.Get(ctx, name)
		return account.GetPlayerId(), err
	}
	return player.Id, err
}
