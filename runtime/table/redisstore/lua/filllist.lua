-- filllist puts a list into the cache that was read under a lease.
-- KEYS: list, its lease, pins. ARGV: token, time to live in ms, keys of rows...
local s = listed(KEYS[1], KEYS[3])
if s == 'O' then return {s, redis.call('SMEMBERS', KEYS[1])} end
if s == 'W' then return {s} end
if redis.call('GET', KEYS[2]) ~= ARGV[1] .. ' ' .. G then return {'A'} end
redis.call('SADD', KEYS[1], S)
for i = 3, #ARGV, 1000 do redis.call('SADD', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV))) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
return {'D'}
