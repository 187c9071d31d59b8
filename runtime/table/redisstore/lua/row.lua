-- look says what may be done with the row at k: L, T or N as it is written there (live, a removal that is
-- not stored yet, known not to exist), A when it is absent, W when it has to be compared with the durable
-- store first. A row of an earlier generation, or written by processes that did not know all columns of
-- this one, goes when nothing of it is unstored. r is _s _v _g _d _c _k _x _t of the row.
local function look(k, rev)
  local r = redis.call('HMGET', k, '_s', '_v', '_g', '_d', '_c', '_k', '_x', '_t')
  if not r[1] then return 'A', {} end
  if r[3] == G and tonumber(r[5]) >= rev then return r[1], r end
  if r[4] or r[6] then return 'W', r end
  redis.call('DEL', k)
  return 'A', {}
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) -- ms
local micros = clock[1] * 1000000 + clock[2]

-- lock splits the lock of a row into its token and whether its time is over.
local function lock(l)
  local ends, token = string.match(l, '^(%d+) (.*)$')
  return token, tonumber(ends) < now and 1 or 0
end

-- tell tells processes that have copies of the row at k that it was written; channel is '' when nobody has. A
-- user who may not publish must not stop a script halfway, so an error is no error.
local function tell(channel, k, version)
  if channel ~= '' then
    redis.pcall('PUBLISH', channel, version .. ' ' .. string.sub(k, string.find(k, '}:', 1, true) + 2))
  end
end

local function number(v) return string.format('%.0f', v) end
