-- The session directory.
-- KEYS: players, gates, dead processes, names, state, times of players.
-- ARGV: now in microseconds, '' for the server's clock; length of a lease, and of remembrance, in
-- microseconds; what to do; what with...
-- A player is "released;entry;entry..." with the latest session first and those before that are not known to
-- have ended, an entry "gate,seq,epoch,term". A gate is "until term": an entry stands while its gate has a
-- lease that began in its term. A name is "until epoch owner".
local PLAYERS, GATES, DEAD, NAMES, STATE, TIMES = unpack(KEYS)
local clock = redis.call('TIME')
local now = tonumber(ARGV[1]) or clock[1] * 1000000 + clock[2]
local ttl, remember, what = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local function number(v) return string.format('%.0f', v) end

local state = redis.call('HMGET', STATE, 'generation', 'began', 'last')
if state[1] ~= G then
  -- Another server, or this one anew: leases and entries may be of any age.
  redis.call('DEL', PLAYERS, GATES, TIMES)
  state[2] = number(math.max(now, (tonumber(state[3]) or 0) + 1)) -- epochs from here on are given by this one
  redis.call('HSET', STATE, 'generation', G, 'began', state[2])
  if state[1] then redis.call('HSET', STATE, 'names', number(now + ttl)) end
end
local began, last = tonumber(state[2]), tonumber(state[3]) or 0

local function remembered(epoch) redis.call('HSET', STATE, 'last', number(epoch)) last = epoch end

local function epoch()
  remembered(math.max(last + 1, now))
  return last
end

local function dead(gate)
  local at = redis.call('HGET', DEAD, gate)
  if not at then return false end
  if now - tonumber(at) < remember then return true end
  redis.call('HDEL', DEAD, gate)
  return false
end

-- lease is when a gate's ends and in which term it began; nil when it has none.
local function lease(gate)
  local l = redis.call('HGET', GATES, gate)
  if not l then return nil end
  local ends, term = string.match(l, '^(%d+) (%d+)$')
  ends = tonumber(ends)
  if ends > now then return ends, term end
  redis.call('HDEL', GATES, gate)
  return nil
end

-- begin is the term of a gate's lease, and begins one when there is none.
local function begin(gate)
  local _, term = lease(gate)
  if term then return term end
  term = number(now)
  redis.call('HSET', GATES, gate, number(now + ttl) .. ' ' .. term)
  return term
end

-- player gives the entries that stand, the one that was last when none does, and whether that was released.
local function player(id)
  local text = redis.call('HGET', PLAYERS, id)
  if not text then return {}, nil, false end
  local stand, first = {}, nil
  for gate, seq, e, term in string.gmatch(text, ';(%d+),(%d+),(%d+),(%d+)') do
    local entry = {gate = gate, seq = seq, epoch = tonumber(e), term = term}
    first = first or entry
    local _, now_term = lease(gate)
    if now_term == term and string.sub(text, 1, 1) == '0' then stand[#stand + 1] = entry end
  end
  return stand, stand[1] or first, string.sub(text, 1, 1) == '1'
end

local function save(id, entries, released)
  local text = {released and '1' or '0'}
  for i, e in ipairs(entries) do text[i + 1] = e.gate .. ',' .. e.seq .. ',' .. number(e.epoch) .. ',' .. e.term end
  redis.call('HSET', PLAYERS, id, table.concat(text, ';'))
  redis.call('ZADD', TIMES, now, id)
end

local function is(e, gate, seq, ep) return e.gate == gate and e.seq == seq and (ep == 0 or e.epoch == ep) end

local function without(entries, gate, seq, ep)
  local out = {}
  for _, e in ipairs(entries) do
    if not is(e, gate, seq, ep) then out[#out + 1] = e end
  end
  return out
end

-- What ended long ago is forgotten, some of it with every claim.
local function sweep()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', TIMES, '-inf', number(now - remember), 'LIMIT', 0, 8)) do
    if #player(id) > 0 then
      redis.call('ZADD', TIMES, now, id)
    else
      redis.call('HDEL', PLAYERS, id)
      redis.call('ZREM', TIMES, id)
    end
  end
end

local a, b, c, d = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

if what == 'claim' then -- player, gate, seq
  if dead(b) then return {'DEAD'} end
  sweep()
  local former = without(player(a), b, c, 0)
  local out = {'OK', number(epoch())}
  for _, e in ipairs(former) do
    out[#out + 1] = e.gate
    out[#out + 1] = e.seq
    out[#out + 1] = number(e.epoch)
  end
  table.insert(former, 1, {gate = b, seq = c, epoch = last, term = begin(b)})
  save(a, former, false)
  return out
elseif what == 'release' then -- player, gate, seq, epoch
  local stand = player(a)
  if #stand == 0 then return {'OK'} end
  local left = without(stand, b, c, tonumber(d))
  if #left == 0 then
    save(a, {stand[1]}, true)
  elseif #left < #stand then
    save(a, left, false)
  end
  return {'OK'}
elseif what == 'lookup' then -- player
  local e = player(a)[1]
  if not e then return {'OK'} end
  return {'OK', e.gate, e.seq, number(e.epoch)}
elseif what == 'renew' then -- gate
  if dead(a) then return {'DEAD'} end
  local known = lease(a) ~= nil
  redis.call('HSET', GATES, a, number(now + ttl) .. ' ' .. begin(a))
  return {'OK', known and 1 or 0}
elseif what == 'reclaim' then -- player, gate, seq, epoch
  if dead(b) then return {'DEAD'} end
  local ep = tonumber(d)
  local stand, first, released = player(a)
  local same = first and is(first, b, c, ep)
  if same and #stand > 0 then return {'OK'} end
  if not (same and not released) then
    if first and first.epoch >= ep or not first and ep >= began and ep <= last then return {'SUPERSEDED'} end
  end
  remembered(math.max(last, ep))
  local entries = without(stand, b, c, 0)
  table.insert(entries, 1, {gate = b, seq = c, epoch = ep, term = begin(b)})
  save(a, entries, false)
  return {'OK'}
elseif what == 'left' then -- gate
  local ends = lease(a)
  return {'OK', ends and number(ends - now) or '0'}
elseif what == 'forget' then -- process
  if not redis.call('HGET', DEAD, a) then redis.call('HSET', DEAD, a, number(now)) end
  redis.call('HDEL', GATES, a)
  local all = redis.call('HGETALL', NAMES)
  for i = 1, #all, 2 do
    local ends, e, owner = string.match(all[i + 1], '^(%d+) (%d+) (%d+)$')
    if owner == a then redis.call('HSET', NAMES, all[i], number(now) .. ' ' .. e .. ' ' .. owner) end
    if now - tonumber(ends) >= remember then redis.call('HDEL', NAMES, all[i]) end
  end
  all = redis.call('HGETALL', DEAD)
  for i = 1, #all, 2 do dead(all[i]) end
  return {'OK'}
elseif what == 'hold' then -- name, owner
  if dead(b) then return {'DEAD'} end
  local h = redis.call('HGET', NAMES, a)
  local ends, e, owner
  if h then ends, e, owner = string.match(h, '^(%d+) (%d+) (%d+)$') end
  if owner ~= b then
    if h and tonumber(ends) > now then return {'HELD', number(tonumber(ends) - now)} end
    local free = tonumber(redis.call('HGET', STATE, 'names') or 0)
    if free > now then return {'HELD', number(free - now)} end
    e = number(epoch())
  end
  redis.call('HSET', NAMES, a, number(now + ttl) .. ' ' .. e .. ' ' .. b)
  return {'OK', e}
elseif what == 'drop' then -- name, owner
  local h = redis.call('HGET', NAMES, a)
  if h and string.match(h, ' (%d+)$') == b then redis.call('HDEL', NAMES, a) end
  return {'OK'}
end
return {'UNKNOWN'}
