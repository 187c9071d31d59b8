-- hold takes or prolongs the lease of a flusher. KEYS: lease. ARGV: owner, time in ms; 0: it is given up.
local owner, ends = holder(KEYS[1])
if owner and owner ~= ARGV[1] and ends > now then return 0 end
if ARGV[2] == '0' then
  if owner == ARGV[1] then redis.call('DEL', KEYS[1]) end
else
  redis.call('SET', KEYS[1], number(now + tonumber(ARGV[2])) .. ' ' .. ARGV[1])
end
return 1
