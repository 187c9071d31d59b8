-- poison puts a row aside, when it still has the version.
-- KEYS: dirty, dirty of transactions, quarantine, its errors, row. ARGV: name, version, time of the next
-- attempt in ms, why.
local r = redis.call('HMGET', KEYS[5], '_v', '_d')
if r[1] ~= ARGV[2] or not r[2] then return 0 end
local attempts = tonumber(string.match(redis.call('HGET', KEYS[4], ARGV[1]) or '', '^(%d+) ')) or 0
clean(r[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
redis.call('HSET', KEYS[4], ARGV[1], (attempts + 1) .. ' ' .. ARGV[2] .. ' ' .. ARGV[4])
redis.call('HSET', KEYS[5], '_d', 'q')
return 1
