-- ack says which versions are stored.
-- KEYS: dirty, dirty of transactions, quarantine, its errors, pins; per row the row and the lists that it
-- pins. ARGV: time to live of lists in ms; per row its name, version, times to live in ms of a row and of a
-- removed one, flush interval in ms, the generation in which it was taken, number of lists.
local p, kp = 1, 5
local function arg() p = p + 1 return ARGV[p] end
local plain = {} -- stored rows that leave the set of single ones
while kp < #KEYS do
  local k, name, version, idle, negative, flush = KEYS[kp + 1], arg(), arg(), arg(), arg(), tonumber(arg())
  local gen, lists = arg(), tonumber(arg())
  local r = redis.call('HMGET', k, '_v', '_s', '_d', '_k', '_t', '_g')
  if r[3] and r[6] ~= G and gen ~= G then
    -- The server was started anew since this was taken, and may have forgotten what was written, and stored,
    -- after it: that is found when it is compared with the durable store once more.
  elseif r[1] == version and r[3] then
    if r[3] == 'd' then plain[#plain + 1] = name else clean(r[3], name) end
    for i = 1, lists do unpin(KEYS[kp + 1 + i], KEYS[5], ARGV[1]) end
    if r[6] ~= G or r[2] == 'T' then redis.call('HSET', k, '_g', G, '_s', r[2] == 'T' and 'N' or r[2]) end
    redis.call('HDEL', k, '_d', '_x', '_t')
    if not r[4] then redis.call('PEXPIRE', k, r[2] == 'L' and idle or negative) end
  elseif r[3] then
    local set = r[3] == 'x' and KEYS[2] or KEYS[1]
    if r[3] == 'x' and tonumber(r[5]) <= tonumber(version) then
      -- What it was written together with others is stored; since then it was written alone.
      clean('x', name)
      redis.call('ZADD', KEYS[1], now + flush, name)
      redis.call('HSET', k, '_d', 'd')
    elseif r[3] ~= 'q' then
      redis.call('ZADD', set, 'XX', now + flush, name)
    end
  end
  kp = kp + 1 + lists
end
for i = 1, #plain, 1000 do redis.call('ZREM', KEYS[1], unpack(plain, i, math.min(i + 999, #plain))) end
return 'OK'
