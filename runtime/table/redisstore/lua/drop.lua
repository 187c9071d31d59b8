-- drop takes a name out of all sets when its row is not there: somebody deleted it past this cache.
-- KEYS: dirty, dirty of transactions, quarantine, its errors, row. ARGV: name.
if redis.call('EXISTS', KEYS[5]) == 1 then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
return 1
