-- apply ends a durable commit at one shard.
-- KEYS: pins; per row the row, its lease, and per list the list and its lease. ARGV: token, time to live of
-- lists in ms, channel of tell; per row what becomes of it (L it has these values, N it is removed, U it stays
-- as it was), version, its name's key, times to live in ms of a row and of a removed one, revision, number of fields to
-- set and pairs, number of fields to remove and these, number of lists and per list 1 to join, 0 to leave.
local PIN, p, kp = KEYS[1], 3, 1
local function arg() p = p + 1 return ARGV[p] end
local function key() kp = kp + 1 return KEYS[kp] end
while kp < #KEYS do
  local k, l = key(), key()
  local what, version, id, idle, negative, rev = arg(), arg(), arg(), arg(), arg(), tonumber(arg())
  local sets = tonumber(arg()) * 2
  local setAt = p + 1
  p = p + sets
  local dels = tonumber(arg())
  local delAt = p + 1
  p = p + dels
  local r = redis.call('HMGET', k, '_s', '_v', '_d', '_k', '_c', '_g')
  local mine = r[4] and (lock(r[4])) == ARGV[1]
  local write = false
  -- A row of an earlier generation may have been set back to before this commit and others after it, so that
  -- the durable store has something newer than these values.
  local known = r[1] and r[6] == G
  if what ~= 'U' then
    tell(ARGV[3], k, 0)
    if not known then
      redis.call('DEL', l) -- who reads it now may not fill what it read before
    else
      write = mine or not r[4] and not r[3] and tonumber(r[2]) < tonumber(version)
    end
  end
  -- One that waits to be stored takes them and stays of its generation: it is compared with the durable store
  -- yet, and nobody's word counts any more that its former version is stored.
  local again = mine and not known and r[3] and what ~= 'U'
  local gen = again and r[6] or G
  write = write or again
  if mine then
    if known or r[3] then
      redis.call('HDEL', k, '_k')
    else
      redis.call('DEL', k)
    end
  end
  if write and what == 'N' then
    if r[3] then
      -- It was to be stored anyway; the flusher finds that this has been done.
      local keep = redis.call('HMGET', k, '_d', '_x', '_t')
      redis.call('DEL', k)
      redis.call('HSET', k, '_s', 'T', '_v', version, '_g', gen, '_c', math.max(rev, tonumber(r[5])), '_d', keep[1])
      if keep[2] then redis.call('HSET', k, '_x', keep[2]) end
      if keep[3] then redis.call('HSET', k, '_t', keep[3]) end
    else
      redis.call('DEL', k)
      redis.call('HSET', k, '_s', 'N', '_v', version, '_g', G, '_c', rev)
    end
  elseif write then
    redis.call('HSET', k, '_s', 'L', '_v', version, '_g', gen, '_c', math.max(rev, tonumber(r[5])), unpack(ARGV, setAt, setAt + sets - 1))
    if dels > 0 then redis.call('HDEL', k, unpack(ARGV, delAt, delAt + dels - 1)) end
  end
  if known and (mine or write) and not r[3] then
    local s = redis.call('HGET', k, '_s')
    if s then redis.call('PEXPIRE', k, s == 'L' and idle or negative) end
  end
  for _ = 1, tonumber(arg()) do
    local list, lease, join = key(), key(), arg()
    if write and known then
      if listed(list, PIN) == 'O' then
        redis.call(join == '1' and 'SADD' or 'SREM', list, id)
      else
        redis.call('DEL', lease)
      end
    elseif what ~= 'U' and not known then
      -- Nobody knows whether the list has it, nor whether this is the first time that it is applied.
      redis.call('DEL', lease)
      if redis.call('HEXISTS', PIN, list) == 1 then
        redis.call('SREM', list, S)
      else
        redis.call('DEL', list)
      end
    end
  end
end
return 'OK'
