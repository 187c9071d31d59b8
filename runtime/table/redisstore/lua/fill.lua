-- fill puts rows into the cache that were read under a lease.
-- KEYS: per row the row and its lease. ARGV: token; per row revision, version (0: there is no such row),
-- time to live in ms, number of fields, and pairs.
local out, token, p = {}, ARGV[1] .. ' ' .. G, 1
local function arg() p = p + 1 return ARGV[p] end
for i = 1, #KEYS / 2 do
  local k, l = KEYS[i * 2 - 1], KEYS[i * 2]
  local rev, version, ttl, n = tonumber(arg()), arg(), arg(), tonumber(arg()) * 2
  local s, r = look(k, rev)
  if s == 'W' then
    out[i] = {'W', r[6] or '', r[6] and select(2, lock(r[6])) or 0}
  elseif s ~= 'A' then
    out[i] = {s, redis.call('HGETALL', k)}
  elseif redis.call('GET', l) ~= token then
    out[i] = {'A'}
  else
    redis.call('HSET', k, '_s', version == '0' and 'N' or 'L', '_v', version, '_g', G, '_c', rev, unpack(ARGV, p + 1, p + n))
    redis.call('PEXPIRE', k, ttl)
    redis.call('DEL', l)
    out[i] = {'D'}
  end
  p = p + n
end
return out
