package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/arena/arenapb"
	"example.com/arena/arenapb/arenaclient"

	"github.com/firefly-go/firefly"
)

// pair are two players in a room of their own. One has a trophy of the other, and puts higher and higher
// prices on it; the other took the bonus of the day.
type pair struct {
	names   [2]string
	clients [2]*arenaclient.Client
	trophy  int64
	bonus   bool
	tried   atomic.Int64 // the last price that was asked for
	acked   atomic.Int64 // and that was acknowledged
}

func (p *pair) login(ctx context.Context, addr string) error {
	for i, name := range p.names {
		c, err := arenaclient.Dial(ctx, addr, nil)
		if err != nil {
			return err
		}
		p.clients[i] = c
		if _, err := c.Login.Login(ctx, &arenapb.LoginRequest{Name: name}); err != nil {
			return fmt.Errorf("login: %w", err)
		}
	}
	return nil
}

func (p *pair) close() {
	for _, c := range p.clients {
		if c != nil {
			c.Close()
		}
	}
}

// begin gives the one a trophy of the other.
func (p *pair) begin(ctx context.Context) error {
	var target int64
	for i, c := range p.clients {
		if _, err := c.Arena.Join(ctx, &arenapb.JoinRequest{Room: p.names[0]}); err != nil {
			return fmt.Errorf("join: %w", err)
		}
		if i == 1 {
			reply, err := p.clients[0].Arena.Join(ctx, &arenapb.JoinRequest{Room: p.names[0]})
			if err != nil || len(reply.Others) != 1 {
				return fmt.Errorf("join again: %v, %w", reply, err)
			}
			target = reply.Others[0].PlayerId
		}
	}
	for {
		reply, err := p.clients[0].Arena.Strike(ctx, &arenapb.StrikeRequest{Target: target})
		switch {
		case firefly.CodeOf(err) == firefly.RateLimited:
			time.Sleep(50 * time.Millisecond)
			continue
		case err != nil:
			return fmt.Errorf("strike: %w", err)
		}
		if reply.Defeated {
			break
		}
	}
	bag, err := p.clients[0].Market.Bag(ctx, &arenapb.BagRequest{})
	if err != nil || len(bag.Items) != 1 {
		return fmt.Errorf("the bag after a victory is %v: %w", bag, err)
	}
	p.trophy = bag.Items[0].Id
	_, err = p.clients[1].Market.Bonus(ctx, &arenapb.BonusRequest{})
	p.bonus = err == nil
	return err
}

// offer raises the price until the game is gone.
func (p *pair) offer(ctx context.Context, stop <-chan struct{}) {
	for price := int64(1); ; price++ {
		select {
		case <-stop:
			return
		default:
		}
		p.tried.Store(price)
		_, err := p.clients[0].Market.Offer(ctx, &arenapb.OfferRequest{ItemId: p.trophy, Price: price})
		switch {
		case err == nil:
			p.acked.Store(price)
		case firefly.CodeOf(err) == firefly.RateLimited:
			price--
			time.Sleep(50 * time.Millisecond)
		default:
			return
		}
	}
}

// Every process is killed at once under load, and everything that was acknowledged is there when the game
// comes back. FIREFLY_E2E_CLIENTS says how many clients there are.
func TestKillEverything(t *testing.T) {
	clients := 60
	if s := os.Getenv("FIREFLY_E2E_CLIENTS"); s != "" {
		var err error
		if clients, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	a := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	addr := "127.0.0.1:" + strconv.Itoa(a.base)
	pairs := make([]*pair, clients/2)
	for i := range pairs {
		pairs[i] = &pair{names: [2]string{fmt.Sprint("ann ", i), fmt.Sprint("bob ", i)}}
		defer pairs[i].close()
	}
	each := func(f func(p *pair) error) {
		t.Helper()
		var wg sync.WaitGroup
		room := make(chan struct{}, 50) // so many at a time
		for _, p := range pairs {
			wg.Go(func() {
				room <- struct{}{}
				defer func() { <-room }()
				if err := f(p); err != nil {
					t.Errorf("%s: %v", p.names[0], err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	each(func(p *pair) error { return p.login(ctx, addr) })
	each(func(p *pair) error { return p.begin(ctx) })
	stop := make(chan struct{})
	var offering sync.WaitGroup
	for _, p := range pairs {
		offering.Go(func() { p.offer(ctx, stop) })
	}
	a.await("every pair has written a few times", time.Minute, func() bool {
		for _, p := range pairs {
			if p.acked.Load() < 5 {
				return false
			}
		}
		return true
	})
	for _, pid := range a.leftovers() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-a.done
	offering.Wait()
	close(stop)
	a.await("nothing is left", 10*time.Second, func() bool { return len(a.leftovers()) == 0 })

	a.run()
	inHand := 0
	each(func(p *pair) error {
		p.close()
		return p.login(ctx, addr)
	})
	for _, p := range pairs {
		bag, err := p.clients[0].Market.Bag(ctx, &arenapb.BagRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if len(bag.Items) != 1 || bag.Items[0].Id != p.trophy || bag.Wins != 1 || bag.Gold != 100 {
			t.Errorf("%s has %v", p.names[0], bag)
			continue
		}
		price, acked, tried := bag.Items[0].Price, p.acked.Load(), p.tried.Load()
		if price < acked || price > tried {
			t.Errorf("%s: the price is %d; %d was acknowledged, %d was the last that was asked for", p.names[0], price, acked, tried)
		}
		if tried > acked {
			inHand++
		}
		if bag, err = p.clients[1].Market.Bag(ctx, &arenapb.BagRequest{}); err != nil || bag.Gold != 150 || !p.bonus {
			t.Errorf("%s has %v: %v", p.names[1], bag, err)
		}
	}
	t.Logf("%d clients; at the kill %d of %d writers had work in hand that was not acknowledged", clients, inHand, len(pairs))
	if inHand == 0 {
		t.Error("the kill met nobody at work")
	}
}
