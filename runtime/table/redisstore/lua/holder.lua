-- The lease of a flusher is "ends owner", in ms. It is no key with a time to live: the server may evict
-- those when its memory is full, and then nobody could store anything.
local function holder(k)
  local v = redis.call('GET', k)
  if not v then return nil, 0 end
  local ends, owner = string.match(v, '^(%d+) (.*)$')
  return owner, tonumber(ends)
end
