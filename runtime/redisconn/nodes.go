package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options are the settings of a Conn. URL is needed; everything else works when it is zero.
type Options struct {
	// URL is where Redis is: redis://user:password@host:6379/0, rediss:// with TLS; with Cluster a first node,
	// and others as ?addr=host:port.
	URL     string
	Cluster bool
	// Sentinels, with the name of the Master that they watch, say where the server is at the moment; of URL the
	// user, the password, the database and TLS count then.
	Sentinels []string
	Master    string
	// SentinelPassword is asked by sentinels; "" when they ask none.
	SentinelPassword string
	// KeepsAll says that the server never forgets what it has acknowledged, so what it has outlives it, and
	// there is one generation.
	KeepsAll bool
	// Patience is how long a command that surely was not executed is tried again; 2 seconds when 0.
	Patience time.Duration
}

// Conn runs scripts and reads. Its methods may be called by any goroutine.
type Conn struct {
	o       Options
	scripts []Script

	one     *Node
	cluster *redis.ClusterClient
	mu      sync.RWMutex
	known   map[*redis.Client]*Node // of a cluster
}

// Node is one server.
type Node struct {
	// Client sends single commands that change nothing, and pipelines of them. A command is never sent again
	// by it.
	Client  *redis.Client
	scripts []Script
	always  bool
	watched bool // by sentinels

	gen   atomic.Pointer[generation] // that of the connection made last; nil before the first
	doubt atomic.Bool                // it may be in another term without having closed its connections

	mu            sync.Mutex // one learns at a time
	reads, writes lane
	long          chan struct{} // has a place for each long script that may run at once
}

// Open makes a Conn; it connects with its first command.
func Open(o Options, scripts []Script) (*Conn, error) {
	if o.Patience == 0 {
		o.Patience = 2 * time.Second
	}
	c := &Conn{o: o, scripts: scripts}
	if !o.Cluster {
		opt, err := redis.ParseURL(o.URL)
		if err != nil {
			return nil, errors.New("the address of Redis is no redis://user:password@host:port/db") // its text has the password
		}
		if len(o.Sentinels) > 0 {
			c.follow(opt)
		}
		c.one = c.node(opt)
		return c, nil
	}
	co, err := redis.ParseClusterURL(o.URL)
	if err != nil {
		return nil, errors.New("the address of Redis is no redis://user:password@host:port?addr=host:port")
	}
	c.known = map[*redis.Client]*Node{}
	co.MaxRedirects = -1
	co.MaxRetries = -1
	co.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	co.NewClient = func(opt *redis.Options) *redis.Client {
		n := c.node(opt)
		c.mu.Lock()
		c.known[n.Client] = n
		c.mu.Unlock()
		return n.Client
	}
	c.cluster = redis.NewClusterClient(co)
	return c, nil
}

func (c *Conn) node(opt *redis.Options) *Node {
	n := &Node{scripts: c.scripts, always: c.o.KeepsAll, watched: len(c.o.Sentinels) > 0, long: make(chan struct{}, longAtOnce)}
	// A command that may have been executed is never sent again behind our back.
	opt.MaxRetries = -1
	opt.Protocol = 2 // with the third the client looks for pushed messages before every answer
	opt.DialerRetries = 1
	opt.DisableIdentity = true
	opt.ContextTimeoutEnabled = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opt.OnConnect = func(ctx context.Context, cn *redis.Conn) error {
		if err := n.meet(ctx, cn, false); err != nil {
			return &connectError{err}
		}
		return nil
	}
	n.Client = redis.NewClient(opt)
	return n
}

// Node is the server that has a key.
func (c *Conn) Node(ctx context.Context, key string) (*Node, error) {
	if c.one != nil {
		return c.one, nil
	}
	client, err := c.cluster.MasterForKey(ctx, key)
	if err != nil {
		return nil, err
	}
	c.mu.RLock()
	n := c.known[client]
	c.mu.RUnlock()
	if n == nil {
		return nil, errors.New("redisconn: a node that nobody made")
	}
	return n, nil
}

// Elsewhere notes that a node refused a command since it is not, or no more, the one for its key.
func (c *Conn) Elsewhere(ctx context.Context, n *Node) {
	n.doubt.Store(true)
	if c.cluster != nil {
		c.cluster.ReloadState(ctx)
	}
}

// Each runs f for every master.
func (c *Conn) Each(ctx context.Context, f func(context.Context, *redis.Client) error) error {
	if c.one != nil {
		return f(ctx, c.one.Client)
	}
	return c.cluster.ForEachMaster(ctx, f)
}

// Close closes all connections.
func (c *Conn) Close() error {
	if c.one != nil {
		return c.one.Client.Close()
	}
	return c.cluster.Close()
}

// Generation is that of the newest connection to the node; "" before there was one. Who has a reply knows
// by it under which one the reply was made, or a later one.
func (n *Node) Generation() string {
	if g := n.gen.Load(); g != nil {
		return g.id
	}
	return ""
}

// meet looks which generation a connection leads to, and teaches it the scripts. It runs on every
// connection before anything else does, so who gets a reply knows a generation that is as new as the
// reply. Everything here goes over this one connection, which leads to one process.
func (n *Node) meet(ctx context.Context, cn *redis.Conn, teach bool) error {
	info, err := cn.Info(ctx, "server", "replication").Result()
	if err != nil {
		return err
	}
	if n.watched && Field(info, "role") != "master" {
		return notMaster{}
	}
	id := "always"
	if !n.always {
		id = fmt.Sprintf("%012x", xxhash.Sum64String(Field(info, "run_id")+" "+Field(info, "master_replid"))&0xffffffffffff)
	}
	g := n.gen.Load()
	if g == nil || g.id != id {
		g, teach = newGeneration(id, n.scripts), true
	}
	if teach {
		_, err := cn.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, text := range g.text {
				p.ScriptLoad(ctx, text)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	n.gen.Store(g)
	n.doubt.Store(false)
	return nil
}

// learn meets the server over a connection of its own.
func (n *Node) learn(ctx context.Context, not *generation) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if g := n.gen.Load(); g != nil && g != not && !n.doubt.Load() {
		return nil // somebody else did
	}
	cn := n.Client.Conn()
	defer func() { _ = cn.Close() }()
	return n.meet(ctx, cn, true)
}

// generation is the one that scripts are run in.
func (n *Node) generation(ctx context.Context) (*generation, error) {
	if g := n.gen.Load(); g != nil && !n.doubt.Load() {
		return g, nil
	}
	if err := n.learn(ctx, nil); err != nil {
		return nil, err
	}
	return n.gen.Load(), nil
}

// lane is a way of commands to the server. One that is alone goes straight, which is the fastest for it;
// those that come meanwhile go together with others of their kind.
type lane struct {
	busy atomic.Int32 // commands under way
	p    atomic.Pointer[redis.AutoPipeliner]
}

// Read sends a command that changes nothing, alone or together with those of others.
func (n *Node) Read(ctx context.Context, cmd redis.Cmder) error {
	defer n.reads.busy.Add(-1)
	if n.reads.busy.Add(1) == 1 {
		return n.Client.Process(ctx, cmd)
	}
	p := n.reads.p.Load()
	if p == nil {
		var err error
		if p, err = n.Client.AutoPipeline(); err != nil {
			return err
		}
		n.reads.p.Store(p)
	}
	return p.Process(ctx, cmd)
}

// Tell sends a command that nobody waits for; it may get lost. It is executed after what its caller has read.
func (n *Node) Tell(ctx context.Context, cmd redis.Cmder) {
	if p, err := n.writer(); err == nil {
		p.Submit(context.WithoutCancel(ctx), cmd)
	}
}

// write sends a script, on connections of its own when there are many, so that reads do not wait for it.
// When ctx ends before the answer comes, nobody knows what becomes of it.
func (n *Node) write(ctx context.Context, cmd redis.Cmder) error {
	defer n.writes.busy.Add(-1)
	if n.writes.busy.Add(1) == 1 {
		return n.Client.Process(ctx, cmd)
	}
	p, err := n.writer()
	if err != nil {
		return err
	}
	return p.Submit(ctx, cmd).WaitContext(ctx)
}

// longAtOnce is how many long scripts are under way to a server: enough that it has one while the answer of
// another is read, and few enough that they leave connections to others.
const longAtOnce = 4

// writeLong sends a script on a connection of its own, with what stands behind it.
func (n *Node) writeLong(ctx context.Context, cmd redis.Cmder, then ...redis.Cmder) error {
	select {
	case n.long <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-n.long }()
	if len(then) == 0 {
		return n.Client.Process(ctx, cmd)
	}
	p := n.Client.Pipeline()
	_ = p.Process(ctx, cmd)
	for _, t := range then {
		_ = p.Process(ctx, t)
	}
	_, err := p.Exec(ctx) // the first error of any
	return err
}

func (n *Node) writer() (*redis.AutoPipeliner, error) {
	p := n.writes.p.Load()
	if p == nil {
		var err error
		if p, err = n.Client.AsyncAutoPipeline(); err != nil {
			return nil, err
		}
		n.writes.p.Store(p)
	}
	return p, nil
}

// writeCopied sends a script, and behind it, over the same connection, the question whether a replica has what
// was written: so it is asked of the very server that wrote it. alone, which is ErrNotCopied, is for a script
// that was executed.
func (n *Node) writeCopied(ctx context.Context, cmd redis.Cmder, within time.Duration) (alone, err error) {
	if t := n.Client.Options().ReadTimeout; t > 0 {
		within = min(within, t*3/4) // the connection outlives the question
	}
	p := n.Client.Pipeline()
	_ = p.Process(ctx, cmd)
	copies := redis.NewIntCmd(ctx, "wait", 1, max(within.Milliseconds(), 1)) // 0 would be for ever
	_ = p.Process(ctx, copies)
	_, _ = p.Exec(ctx)
	switch {
	case cmd.Err() != nil:
		return nil, cmd.Err()
	case copies.Err() != nil:
		return fmt.Errorf("%w: %w", ErrNotCopied, copies.Err()), nil
	case copies.Val() < 1:
		return fmt.Errorf("%w, after %s", ErrNotCopied, within), nil
	}
	return nil, nil
}

// Field is a field of what INFO says.
func Field(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
