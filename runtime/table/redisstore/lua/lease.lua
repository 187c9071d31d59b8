-- lease gives rows, and where there is none a lease to fill it.
-- KEYS: per row the row and its lease. ARGV: token, lease time in ms; per row its revision.
local out, token = {}, ARGV[1] .. ' ' .. G
for i = 1, #KEYS / 2 do
  local k, l = KEYS[i * 2 - 1], KEYS[i * 2]
  local s, r = look(k, tonumber(ARGV[i + 2]))
  if s == 'A' then
    if redis.call('SET', l, token, 'NX', 'PX', ARGV[2]) or redis.call('GET', l) == token then
      out[i] = {'A'}
    else
      out[i] = {'F'}
    end
  elseif s == 'W' then
    out[i] = {'W', r[6] or '', r[6] and select(2, lock(r[6])) or 0}
  else
    out[i] = {s, redis.call('HGETALL', k)}
  end
end
return out
