-- commit executes ops on rows of one shard, all or none.
-- KEYS: dirty, dirty of transactions, quarantine, its errors, pins; per op its row, when it inserts the
-- row's lease, and per change of a list the old list and the new list, as far as there are.
-- ARGV: number of ops, 1 when they belong together, channel of tell; per op: kind (I insert, F insert of a fresh id, U
-- update, D delete, C check, E check that there is none), revision, version that it must have, name, flush
-- interval in ms; number of fields to set, and pairs; number of fields to remove, and these; number of
-- additions and per addition: a, field, delta, min, max or e, field, expected, new, '' ; number of changes
-- of lists and per change: number of fields, field, expected, default..., whether there is an old, a new list.
local D, X, Q, QE, PIN = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local p, kp = 3, 5
local function arg() p = p + 1 return ARGV[p] end
local function key() kp = kp + 1 return KEYS[kp] end

local count, together = tonumber(ARGV[1]), ARGV[2] == '1'
if together and redis.call('ZCARD', X) >= 5000 then return {'BUSY'} end
local ops, v = {}, micros
for i = 1, count do
  local o = {kind = arg(), rev = tonumber(arg()), cas = arg(), name = arg(), flush = tonumber(arg()), k = key()}
  local kind = o.kind
  local inserts = kind == 'I' or kind == 'F'
  if inserts then o.lease = key() end
  local s, r = look(o.k, o.rev)
  if r[6] then
    local token, over = lock(r[6])
    return {'LOCKED', i, token, over}
  end
  if s == 'W' then return {'WAIT', i} end
  if s == 'A' and kind ~= 'F' then return {'MISS', i} end
  if inserts or kind == 'E' then
    if s == 'L' then return {'EXISTS', i} end
  elseif s ~= 'L' then
    return {o.cas == '' and 'NOTFOUND' or 'CAS', i}
  elseif o.cas ~= '' and o.cas ~= r[2] then
    return {'CAS', i}
  end
  o.r = r
  o.sets = tonumber(arg()) * 2
  o.setAt = p + 1
  p = p + o.sets
  o.dels = tonumber(arg())
  o.delAt = p + 1
  p = p + o.dels
  o.incs = tonumber(arg())
  o.incAt = p
  for j = 1, o.incs do
    local mode, field, a, b, c = ARGV[p + 1], ARGV[p + 2], ARGV[p + 3], ARGV[p + 4], ARGV[p + 5]
    p = p + 5
    local cur = redis.call('HGET', o.k, field) or ''
    if mode == 'e' then
      if cur ~= a then return {'BIG', i, j, cur} end
    elseif #cur > 15 or #a > 15 then
      return {'BIG', i, j, cur} -- more digits than a Lua number keeps
    else
      local sum = (tonumber(cur) or 0) + tonumber(a)
      if sum < tonumber(b) or sum > tonumber(c) then return {'RANGE', i, j, cur} end
    end
  end
  o.lists = {}
  for j = 1, tonumber(arg()) do
    for _ = 1, tonumber(arg()) do
      local field, want, default = arg(), arg(), arg()
      if (redis.call('HGET', o.k, field) or default) ~= want then return {'OLD', i} end
    end
    local old, new = arg() == '1' and key(), arg() == '1' and key()
    for which, k in pairs({old or nil, new or nil}) do
      local l = listed(k, PIN)
      if l == 'W' then return {'WAIT', i} end
      if l == 'A' then return {'LIST', i, j, k == new and 1 or 0} end
    end
    o.lists[j] = {old, new}
  end
  if kind ~= 'C' and kind ~= 'E' then
    if r[2] and tonumber(r[2]) >= v then v = tonumber(r[2]) + 1 end
    ops[#ops + 1] = o
  end
end

local V, sums = number(v), {}
for _, o in ipairs(ops) do
  local k, r, kind = o.k, o.r, o.kind
  local d, x = r[4], r[7]
  local anew = kind ~= 'U'
  local set = {'HSET', k, '_v', V}
  local function put(field, value)
    set[#set + 1] = field
    set[#set + 1] = value
  end
  for _, l in ipairs(o.lists) do
    for which = 1, 2 do
      local list = l[which]
      if list then
        redis.call(which == 1 and 'SREM' or 'SADD', list, string.sub(o.name, string.find(o.name, ':', 1, true) + 1))
        if not x or not string.find('\0' .. x .. '\0', '\0' .. list .. '\0', 1, true) then
          x = x and x .. '\0' .. list or list
          redis.call('HINCRBY', PIN, list, 1)
          redis.call('PERSIST', list)
        end
      end
    end
  end
  if anew then
    redis.call('DEL', k)
    if o.lease then redis.call('DEL', o.lease) end
    put('_s', kind == 'D' and 'T' or 'L')
    put('_g', G)
    put('_c', math.max(o.rev, tonumber(r[5]) or 0))
  elseif not d then
    redis.call('PERSIST', k)
  end
  local due = now + o.flush
  if d == 'q' then
    redis.call('ZREM', Q, o.name)
    redis.call('HDEL', QE, o.name)
    d, due = nil, now
  end
  local tx = r[8]
  if together then
    tx = V
    if d == 'd' then
      due = redis.call('ZSCORE', D, o.name) or due
      redis.call('ZREM', D, o.name)
    end
    if d ~= 'x' then redis.call('ZADD', X, due, o.name) end
    d = 'x'
  elseif not d then
    redis.call('ZADD', D, due, o.name)
    d = 'd'
  end
  if anew or d ~= r[4] then put('_d', d) end
  if x and (anew or x ~= r[7]) then put('_x', x) end
  if tx and (anew or tx ~= r[8]) then put('_t', tx) end
  for j = o.setAt, o.setAt + o.sets - 1 do set[#set + 1] = ARGV[j] end
  redis.call(unpack(set))
  tell(ARGV[3], k, V)
  if not anew and o.dels > 0 then redis.call('HDEL', k, unpack(ARGV, o.delAt, o.delAt + o.dels - 1)) end
  for j = 0, o.incs - 1 do
    local at = o.incAt + j * 5
    if ARGV[at + 1] == 'e' then
      redis.call('HSET', k, ARGV[at + 2], ARGV[at + 4])
      sums[#sums + 1] = ARGV[at + 4]
    else
      sums[#sums + 1] = redis.call('HINCRBY', k, ARGV[at + 2], ARGV[at + 3])
    end
  end
end
return {'OK', V, unpack(sums)}
