-- clean takes a row out of the set that it waits in.
local function clean(d, name)
  if d == 'd' then
    redis.call('ZREM', KEYS[1], name)
  elseif d == 'x' then
    redis.call('ZREM', KEYS[2], name)
  elseif d == 'q' then
    redis.call('ZREM', KEYS[3], name)
    redis.call('HDEL', KEYS[4], name)
  end
end
