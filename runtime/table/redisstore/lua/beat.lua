-- beat sends a heartbeat to who subscribes to a channel. ARGV: channel, text.
return redis.call('PUBLISH', ARGV[1], ARGV[2] .. ' ' .. G)
