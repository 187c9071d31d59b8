-- lock takes rows for a durable commit, or none of them.
-- KEYS: dirty of transactions, dirty; per row the row and its lease. ARGV: token, time in ms; per row kind (as in
-- commit.lua), revision, version that it must have, name.
local V, p = micros, 2
local function arg() p = p + 1 return ARGV[p] end
local rows = {}
for i = 1, (#KEYS - 2) / 2 do
  local k, l = KEYS[i * 2 + 1], KEYS[i * 2 + 2]
  local kind, rev, cas, name = arg(), tonumber(arg()), arg(), arg()
  local s, r = look(k, rev)
  if r[6] then
    local token, over = lock(r[6])
    if token ~= ARGV[1] then return {'LOCKED', i, token, over} end
  end
  if s == 'W' then return {'WAIT', i} end
  if s == 'A' and kind ~= 'F' then return {'MISS', i} end
  if kind == 'I' or kind == 'F' or kind == 'E' then
    if s == 'L' then return {'EXISTS', i} end
  elseif s ~= 'L' then
    return {cas == '' and 'NOTFOUND' or 'CAS', i}
  elseif cas ~= '' and cas ~= r[2] then
    return {'CAS', i}
  end
  if r[4] == 'x' then
    -- The others of its transaction have to be stored together with it, before this row is.
    redis.call('ZADD', KEYS[1], 'XX', now, name)
    return {'WAIT', i}
  end
  if r[4] and tonumber(r[5]) > rev then
    -- It has columns that this process cannot store under the new version, so they have to be stored before.
    redis.call('ZADD', KEYS[2], 'XX', now, name)
    return {'WAIT', i}
  end
  if r[2] and tonumber(r[2]) >= V then V = tonumber(r[2]) + 1 end
  rows[i] = {k, l, s, rev}
end
local out = {'OK', number(V)}
for i, row in ipairs(rows) do
  local k = row[1]
  if row[3] == 'A' then
    redis.call('HSET', k, '_s', 'N', '_v', '0', '_g', G, '_c', row[4])
    redis.call('DEL', row[2])
  end
  redis.call('HSET', k, '_k', number(now + tonumber(ARGV[2])) .. ' ' .. ARGV[1])
  redis.call('PERSIST', k)
  out[i + 2] = redis.call('HGETALL', k)
end
return out
