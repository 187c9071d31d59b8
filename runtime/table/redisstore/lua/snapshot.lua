-- snapshot gives rows as they are.
-- KEYS: lease, dirty of transactions, rows... ARGV: owner, how many of the first rows are all of
-- transactions, and a prefix of names. 'AGAIN' when there are other rows of transactions now; with a prefix
-- the rows of transactions are read by their names instead, which are the same slot's as the keys, and the
-- answer is theirs: names, all rows, of which those of KEYS come last, and the generation.
if (holder(KEYS[1])) ~= ARGV[1] then return 0 end
local n, prefix = tonumber(ARGV[2]), ARGV[3]
local out = {}
if prefix ~= '' then
  local names = redis.call('ZRANGE', KEYS[2], 0, -1)
  for i = 1, #names do out[i] = redis.call('HGETALL', prefix .. names[i]) end
  for i = 3, #KEYS do out[#out + 1] = redis.call('HGETALL', KEYS[i]) end
  return {names, out, G}
end
if n > 0 and redis.call('ZCARD', KEYS[2]) ~= n then return 'AGAIN' end
for i = 3, #KEYS do
  out[i - 2] = redis.call('HGETALL', KEYS[i])
  if i - 2 <= n and #out[i - 2] > 0 and redis.call('HGET', KEYS[i], '_d') ~= 'x' then return 'AGAIN' end
end
return {{}, out, G}
