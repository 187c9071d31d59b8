-- register gives the shapes of tables an order: that in which they were first seen.
-- KEYS: what is known of the whole cache. ARGV: shards; per table its name, its shape and the numbers of its
-- columns. Answer: the shards that there are, and per table its revision and the numbers of the columns that
-- each one before had, from the first on.
redis.call('HSETNX', KEYS[1], 'shards', ARGV[1])
local out = {tonumber(redis.call('HGET', KEYS[1], 'shards'))}
for i = 2, #ARGV, 3 do
  local shape = 'shape ' .. ARGV[i] .. ' ' .. ARGV[i + 1]
  local columns = 'columns ' .. ARGV[i] .. ' '
  local rev = redis.call('HGET', KEYS[1], shape)
  if not rev then
    rev = redis.call('HINCRBY', KEYS[1], 'revisions ' .. ARGV[i], 1)
    redis.call('HSET', KEYS[1], shape, rev, columns .. rev, ARGV[i + 2])
  end
  local answer = {tonumber(rev)}
  for r = 1, rev - 1 do answer[r + 1] = redis.call('HGET', KEYS[1], columns .. r) or '' end
  out[#out + 1] = answer
end
return out
