-- forget drops rows of which everything is stored; the answer has the numbers of those that stay.
-- KEYS: per row the row and its lease. ARGV: channel of tell.
local kept = {}
for i = 1, #KEYS / 2 do
  local r = redis.call('HMGET', KEYS[i * 2 - 1], '_d', '_k')
  if r[1] or r[2] then
    kept[#kept + 1] = i
  else
    redis.call('DEL', KEYS[i * 2 - 1], KEYS[i * 2])
    tell(ARGV[1], KEYS[i * 2 - 1], 0)
  end
end
return kept
