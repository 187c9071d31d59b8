-- S is in every list, so that an empty one is there, and names the generation that vouches for it.
local S = '%g:' .. G

-- listed says what the list at k is: O usable, W it has to wait for rows that are not stored yet, A absent.
local function listed(k, pin)
  if redis.call('SISMEMBER', k, S) == 1 then return 'O' end
  if redis.call('HEXISTS', pin, k) == 1 then return 'W' end
  redis.call('DEL', k)
  return 'A'
end

-- unpin lets a list go that was held by a row; drop: what is in it is not to be believed any more.
local function unpin(k, pin, idle, drop)
  if drop then redis.call('SREM', k, S) end
  if redis.call('HINCRBY', pin, k, -1) > 0 then return end
  redis.call('HDEL', pin, k)
  if redis.call('SISMEMBER', k, S) == 1 then
    redis.call('PEXPIRE', k, idle)
  else
    redis.call('DEL', k)
  end
end
