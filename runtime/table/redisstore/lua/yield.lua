-- yield drops rows of which something newer is stored, or which are given up.
-- KEYS and ARGV: as of ack, without times: per row its name, version, number of lists; ARGV[2] is q to drop
-- quarantined rows alone, ARGV[3] the channel of tell. The answer has the numbers of rows that were dropped.
local p, kp, n, out = 3, 5, 0, {}
local function arg() p = p + 1 return ARGV[p] end
while kp < #KEYS do
  n = n + 1
  local k, name, version, lists = KEYS[kp + 1], arg(), arg(), tonumber(arg())
  local r = redis.call('HMGET', k, '_v', '_d', '_k')
  if r[1] == version and r[2] and not r[3] and (ARGV[2] == '' or r[2] == ARGV[2]) then
    clean(r[2], name)
    redis.call('DEL', k)
    tell(ARGV[3], k, 0)
    for i = 1, lists do unpin(KEYS[kp + 1 + i], KEYS[5], ARGV[1], true) end
    out[#out + 1] = n
  end
  kp = kp + 1 + lists
end
return out
