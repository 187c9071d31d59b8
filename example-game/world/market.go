package world

import (
	"context"
	"errors"

	"example.com/arena/arenapb"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// bonusGold is the bonus of a day.
const bonusGold = 50

// Bag says what the player owns.
func (w *World) Bag(ctx context.Context, s firefly.Session, _ *arenapb.BagRequest) (*arenapb.BagReply, error) {
	p, err := w.Player.Get(ctx, int64(s.Player()))
	if err != nil {
		return nil, err
	}
	items, err := w.Item.ByOwnerID(ctx, p.Id)
	return &arenapb.BagReply{Gold: p.Gold, Wins: p.Wins, Items: items}, err
}

// Bonus pays the bonus of the day: the key makes it once a day, also when an answer was lost and the client
// asks again.
func (w *World) Bonus(ctx context.Context, s firefly.Session, _ *arenapb.BonusRequest) (*arenapb.BonusReply, error) {
	id := int64(s.Player())
	err := w.Tx(ctx, func(_ context.Context, tx *arenapb.WorldTx) error {
		tx.Once("bonus/" + firefly.Now(ctx).UTC().Format("2006-01-02"))
		tx.Player.AddGold(id, bonusGold)
		return nil
	})
	switch {
	case errors.Is(err, table.ErrOnce):
		return nil, arenapb.BonusTaken.Errorf("the bonus of today was paid")
	case err != nil:
		return nil, err
	}
	p, err := w.Player.Get(ctx, id)
	return &arenapb.BonusReply{Gold: p.GetGold()}, err
}

// Offer puts a price on an item.
func (w *World) Offer(ctx context.Context, s firefly.Session, req *arenapb.OfferRequest) (*arenapb.OfferReply, error) {
	key := arenapb.ItemKey{OwnerID: int64(s.Player()), ID: req.ItemId}
	_, err := w.Item.Update(ctx, key, func(i *arenapb.Item) error { i.Price = req.Price; return nil })
	return &arenapb.OfferReply{}, err
}

// Trade moves the gold and the item in one transaction: both or nothing.
func (w *World) Trade(ctx context.Context, s firefly.Session, req *arenapb.TradeRequest) (*arenapb.TradeReply, error) {
	buyer := int64(s.Player())
	key := arenapb.ItemKey{OwnerID: req.Seller, ID: req.ItemId}
	reply := &arenapb.TradeReply{}
	err := w.Tx(ctx, func(ctx context.Context, tx *arenapb.WorldTx) error {
		item, err := tx.Item.Update(ctx, key, func(i *arenapb.Item) error {
			if i.Price == 0 || buyer == req.Seller {
				return arenapb.NotForSale.Errorf("item %d of player %d is not for sale", req.ItemId, req.Seller)
			}
			reply.Price, i.Price = i.Price, 0
			return nil
		})
		if err != nil {
			return err
		}
		tx.Player.AddGold(buyer, -reply.Price)
		tx.Player.AddGold(req.Seller, reply.Price)
		tx.Item.Move(key, buyer)
		return w.Push.Sold(ctx, firefly.PlayerID(req.Seller), &arenapb.Sold{ItemId: item.Id, Price: reply.Price, Buyer: buyer})
	})
	switch firefly.CodeOf(err) {
	case firefly.OutOfRange:
		return nil, arenapb.TooPoor.Errorf("it costs %d", reply.Price)
	case firefly.NotFound:
		return nil, arenapb.NotForSale.Errorf("player %d has no item %d", req.Seller, req.ItemId)
	}
	return reply, err
}

// Scores says who has won how often in a room.
func (w *World) Scores(ctx context.Context, _ firefly.Session, req *arenapb.ScoresRequest) (*arenapb.ScoresReply, error) {
	all, err := w.Score.ByRoom(ctx, req.Room)
	return &arenapb.ScoresReply{Scores: all}, err
}

// reward gives the winner of a fight what he won: a trophy, and the count of it, together.
func (w *World) reward(ctx context.Context, winner firefly.PlayerID, loser string) {
	err := w.Tx(ctx, func(ctx context.Context, tx *arenapb.WorldTx) error {
		tx.Player.AddWins(int64(winner), 1)
		return tx.Item.Insert(ctx, &arenapb.Item{OwnerId: int64(winner), Name: "trophy of " + loser})
	})
	if err != nil {
		firefly.Log(ctx).Warn("a victory was not rewarded", "err", err)
	}
}
