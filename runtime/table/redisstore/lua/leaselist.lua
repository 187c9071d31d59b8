-- leaselist gives a list, or a lease to fill it.
-- KEYS: list, its lease, pins. ARGV: token, lease time in ms.
local s = listed(KEYS[1], KEYS[3])
if s == 'O' then return {s, redis.call('SMEMBERS', KEYS[1])} end
local token = ARGV[1] .. ' ' .. G
if s == 'A' and not redis.call('SET', KEYS[2], token, 'NX', 'PX', ARGV[2]) and redis.call('GET', KEYS[2]) ~= token then
  s = 'F'
end
return {s}
