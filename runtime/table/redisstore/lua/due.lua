-- due names what is to be stored.
-- KEYS: lease, dirty, dirty of transactions, quarantine, generation up to which everything was compared.
-- ARGV: owner, how many at most, 1 for all whatever their times.
-- Answer: 1 when everything is of this generation; all of transactions; plain ones; quarantined ones, how
-- many of these are due, and the generation.
if (holder(KEYS[1])) ~= ARGV[1] then return 0 end
local settled = redis.call('GET', KEYS[5]) == G
local upTo = (ARGV[3] == '1' or not settled) and '+inf' or now
local x = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', upTo, 'LIMIT', 0, 1)
if x[1] then x = redis.call('ZRANGE', KEYS[3], 0, -1) end
local d = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', upTo, 'LIMIT', 0, ARGV[2])
local q = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', settled and now or '+inf', 'LIMIT', 0, settled and 8 or ARGV[2])
return {settled and 1 or 0, x, d, q, redis.call('ZCOUNT', KEYS[4], '-inf', now), G}
