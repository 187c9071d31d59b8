-- holds reports whether a durable commit still has all of its rows. KEYS: rows. ARGV: token.
for i = 1, #KEYS do
  local l = redis.call('HGET', KEYS[i], '_k')
  if not l or (lock(l)) ~= ARGV[1] then return 0 end
end
return 1
