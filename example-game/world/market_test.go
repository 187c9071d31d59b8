package world_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"example.com/arena/arenapb"

	"github.com/firefly-go/firefly"
)

func (p *player) bag(ctx context.Context) *arenapb.BagReply {
	p.t.Helper()
	b, err := p.Market.Bag(ctx, &arenapb.BagRequest{})
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// defeat strikes until the other one is down, and gives the trophy.
func (p *player) defeat(ctx context.Context, other *player) *arenapb.Item {
	p.t.Helper()
	for {
		reply, err := p.Arena.Strike(ctx, &arenapb.StrikeRequest{Target: other.id})
		if err != nil {
			p.t.Fatal(err)
		}
		if reply.Defeated {
			break
		}
	}
	items := p.bag(ctx).Items
	if len(items) == 0 {
		p.t.Fatal("no trophy")
	}
	return items[len(items)-1]
}

func TestBonus(t *testing.T) {
	g, ctx := start(t), within(t)
	ann := enter(ctx, t, g, "Ann", "hall")
	var wg sync.WaitGroup
	paid := make(chan int64, 10)
	for range 10 {
		wg.Go(func() {
			b, err := ann.Market.Bonus(ctx, &arenapb.BonusRequest{})
			switch firefly.CodeOf(err) {
			case firefly.OK:
				paid <- b.Gold
			case arenapb.BonusTaken:
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(paid) != 1 || <-paid != 150 || ann.bag(ctx).Gold != 150 {
		t.Errorf("the bonus was paid %d times, gold is %d", len(paid)+1, ann.bag(ctx).Gold)
	}
}

func TestTrade(t *testing.T) {
	g, ctx := start(t), within(t)
	ann := enter(ctx, t, g, "Ann", "hall")
	bob := enter(ctx, t, g, "Bob", "hall")
	sold := make(chan *arenapb.Sold, 1)
	ann.OnSold(func(m *arenapb.Sold) { sold <- m })
	trophy := ann.defeat(ctx, bob)
	if trophy.Name != "trophy of Bob" || ann.bag(ctx).Wins != 1 {
		t.Errorf("the trophy is %v, wins %d", trophy, ann.bag(ctx).Wins)
	}
	buy := func() error {
		_, err := bob.Market.Trade(ctx, &arenapb.TradeRequest{Seller: ann.id, ItemId: trophy.Id})
		return err
	}
	offer := func(price int64) {
		t.Helper()
		if _, err := ann.Market.Offer(ctx, &arenapb.OfferRequest{ItemId: trophy.Id, Price: price}); err != nil {
			t.Fatal(err)
		}
	}
	if err := buy(); firefly.CodeOf(err) != arenapb.NotForSale {
		t.Error(err)
	}
	offer(101)
	if err := buy(); firefly.CodeOf(err) != arenapb.TooPoor {
		t.Error(err)
	}
	if a, b := ann.bag(ctx), bob.bag(ctx); a.Gold != 100 || b.Gold != 100 || len(a.Items) != 1 || len(b.Items) != 0 {
		t.Errorf("after a trade that failed: %v and %v", a, b)
	}
	offer(60)
	if err := buy(); err != nil {
		t.Fatal(err)
	}
	a, b := ann.bag(ctx), bob.bag(ctx)
	if a.Gold != 160 || b.Gold != 40 || len(a.Items) != 0 || len(b.Items) != 1 || b.Items[0].Id != trophy.Id || b.Items[0].Price != 0 {
		t.Errorf("after the trade: %v and %v", a, b)
	}
	if m := next(ctx, t, sold); m.Price != 60 || m.Buyer != bob.id {
		t.Errorf("Ann heard %v", m)
	}
	if err := buy(); firefly.CodeOf(err) != arenapb.NotForSale {
		t.Error(err)
	}
	scores, err := bob.Market.Scores(ctx, &arenapb.ScoresRequest{Room: "hall"})
	if err != nil || len(scores.Scores) != 1 || scores.Scores[0].Name != "Ann" || scores.Scores[0].Wins != 1 {
		t.Errorf("scores %v: %v", scores, err)
	}
}

// Two buyers at once, again and again: one gets it, and no gold comes or goes.
func TestTradeRace(t *testing.T) {
	g, ctx := start(t), within(t)
	ann := enter(ctx, t, g, "Ann", "hall")
	bob := enter(ctx, t, g, "Bob", "cellar") // on the other world, perhaps
	carl := enter(ctx, t, g, "Carl", "hall")
	trophy := ann.defeat(ctx, carl)
	owner, others := ann, []*player{bob, carl}
	for range 10 {
		if _, err := owner.Market.Offer(ctx, &arenapb.OfferRequest{ItemId: trophy.Id, Price: 5}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		won := make(chan int, 2)
		for i, p := range others {
			wg.Go(func() {
				_, err := p.Market.Trade(ctx, &arenapb.TradeRequest{Seller: owner.id, ItemId: trophy.Id})
				switch code := firefly.CodeOf(err); code {
				case firefly.OK:
					won <- i
				case arenapb.NotForSale, firefly.Conflict:
				default:
					t.Error(errors.Join(errors.New(string(code)), err))
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d buyers got it", len(won))
		}
		i := <-won
		owner, others[i] = others[i], owner
		if sum := ann.bag(ctx).Gold + bob.bag(ctx).Gold + carl.bag(ctx).Gold; sum != 300 {
			t.Fatalf("there are %d gold", sum)
		}
	}
}

// A player is who he was when the store comes back, and when everybody does.
func TestStoreComesBack(t *testing.T) {
	g, ctx := start(t), within(t)
	ann := enter(ctx, t, g, "Ann", "hall")
	if _, err := ann.Market.Bonus(ctx, &arenapb.BonusRequest{}); err != nil {
		t.Fatal(err)
	}
	g.Kill("store")
	g.Restart("store")
	g.Await("the bag is found", func() bool {
		b, err := ann.Market.Bag(ctx, &arenapb.BagRequest{})
		return err == nil && b.Gold == 150
	})
	again := enter(ctx, t, g, "Ann", "hall")
	if again.id != ann.id {
		t.Errorf("Ann is %d, and was %d", again.id, ann.id)
	}
}
