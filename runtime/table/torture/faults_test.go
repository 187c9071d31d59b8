//go:build unix

package torture

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// fault is something that is done to servers and processes, besides killing the latter.
type fault int

const (
	redisKilled fault = iota
	redisCut          // killed, and the end of its file is gone
	mariaStopped
	mariaKilled
	redisConnections
	mysqlConnections
	redisReply
	redisRequest
	mysqlReply
	mysqlRequest
	flusherPaused
	writerPaused
	numFaults
)

var faultNames = [numFaults]string{
	"Redis killed and started", "Redis killed, the end of its file lost", "MariaDB stopped and started", "MariaDB killed and started",
	"connections to Redis cut", "connections to MariaDB cut", "reply of Redis lost", "request to Redis lost",
	"reply to a COMMIT lost", "COMMIT lost", "flusher paused beyond its lease", "writer paused beyond its locks",
}

// without says which faults are not made.
func (r *run) without(f fault) bool {
	return f == redisCut && !r.cut || f == redisKilled && r.cut
}

// makeFaults makes one fault after the other, each of them once in a random order and then again, until the
// torture has lasted long enough.
func (r *run) makeFaults(rnd *rand.Rand) {
	deadline := time.Now().Add(30*time.Second + time.Duration(r.kills)*6*time.Second)
	for {
		for _, f := range rnd.Perm(int(numFaults)) {
			if r.without(fault(f)) {
				continue
			}
			time.Sleep(time.Duration(100+rnd.IntN(500)) * time.Millisecond)
			r.fault(fault(f), rnd)
			r.faults[f].Add(1)
			if r.Failed() {
				return
			}
			if time.Now().After(deadline) {
				// A busy machine makes less of the short form; the long one has to be whole.
				if r.kills >= long {
					r.Error("the processes were not killed often enough")
				}
				return
			}
			if r.done() {
				return
			}
		}
	}
}

func (r *run) fault(f fault, rnd *rand.Rand) {
	p := &r.proxies
	one := func(a, b *servers.Proxy) *servers.Proxy {
		if rnd.IntN(2) == 0 {
			return a
		}
		return b
	}
	lose := func(p *servers.Proxy, match string, l servers.Loss) {
		select {
		case <-p.Lose(match, l):
		case <-time.After(2 * time.Second): // nobody asks
			p.Lose("\x00", servers.Nothing)
		}
	}
	switch f {
	case redisKilled:
		r.redis.Kill()
		time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
		r.ok(r.redis.Start())
	case redisCut:
		r.cutRedis(rnd)
	case mariaStopped, mariaKilled:
		if f == mariaStopped {
			r.maria.Stop()
		} else {
			r.maria.Kill()
		}
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
		r.ok(r.maria.Start())
	case redisConnections:
		one(p.writerRedis, p.flusherRedis).Cut()
	case mysqlConnections:
		one(p.writerMySQL, p.flusherMySQL).Cut()
	case redisReply:
		lose(one(p.writerRedis, p.flusherRedis), "evalsha", servers.LoseReply)
	case redisRequest:
		lose(one(p.writerRedis, p.flusherRedis), "evalsha", servers.LoseRequest)
	case mysqlReply:
		lose(one(p.writerMySQL, p.flusherMySQL), "COMMIT", servers.LoseReply)
	case mysqlRequest:
		lose(one(p.writerMySQL, p.flusherMySQL), "COMMIT", servers.LoseRequest)
	case flusherPaused:
		r.procs[writers+rnd.IntN(flushers)].still(context.Background(), lease+time.Duration(rnd.IntN(1000))*time.Millisecond)
	case writerPaused:
		r.procs[rnd.IntN(writers)].still(context.Background(), holding+time.Duration(200+rnd.IntN(500))*time.Millisecond)
	}
}

// cutRedis kills Redis and takes what it wrote in the last while off its file, as a crash of its host does under
// everysec. What was acknowledged some time before is in the file.
func (r *run) cutRedis(rnd *rand.Rand) {
	// Under everysec Redis holds back what it writes to its file for up to 2 seconds while the disk is busy.
	from := time.Now().Add(-2500 * time.Millisecond).UnixMicro()
	_, size, err := r.redis.AOF()
	r.ok(err)
	time.Sleep(time.Duration(200+rnd.IntN(1200)) * time.Millisecond)
	r.ok(r.redis.GoBack(size))
	// Nobody was told anything between the kill and the start.
	r.losses = append(r.losses, loss{from, time.Now().UnixMicro()})
}

func (r *run) ok(err error) {
	r.Helper()
	if err != nil {
		r.Error(err)
	}
}
