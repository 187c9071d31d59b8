package redisconn

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// notMaster is a server that is a replica, or has become one.
type notMaster struct{}

func (notMaster) Error() string { return "MASTERDOWN the server that sentinels named is no master" }

// RedisError implements redis.Error.
func (notMaster) RedisError() {}

// askTime bounds the question to one sentinel.
const askTime = time.Second

// follow has every new connection lead to the server that sentinels name then. Connections to a former one end
// with it: sentinels close them when they make it a replica.
func (c *Conn) follow(opt *redis.Options) {
	if opt.TLSConfig != nil {
		opt.TLSConfig.ServerName = "" // it is that of the server, wherever it is
	}
	dial := redis.NewDialer(opt)
	tls := opt.TLSConfig
	var mu sync.Mutex
	sentinels := append([]string(nil), c.o.Sentinels...) // the one that answered last comes first
	opt.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
		mu.Lock()
		order := append([]string(nil), sentinels...)
		mu.Unlock()
		var errs []error
		for i, s := range order {
			client := redis.NewSentinelClient(&redis.Options{Addr: s, Password: c.o.SentinelPassword, TLSConfig: tls, MaxRetries: -1,
				DialerRetries: 1, DialTimeout: askTime, ReadTimeout: askTime, DisableIdentity: true, PoolSize: 1})
			at, err := client.GetMasterAddrByName(ctx, c.o.Master).Result()
			_ = client.Close()
			if err == nil && len(at) == 2 {
				if i > 0 {
					order[0], order[i] = order[i], order[0]
					mu.Lock()
					sentinels = order
					mu.Unlock()
				}
				return dial(ctx, network, net.JoinHostPort(at[0], at[1]))
			}
			errs = append(errs, err)
		}
		// Nothing was sent to anybody.
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.Join(errs...)}
	}
}
