-- delay says that rows are not due before a time.
-- KEYS: dirty, dirty of transactions, quarantine. ARGV: time in ms; names of rows, each behind 1 for one of
-- transactions, 0 for another.
for i = 2, #ARGV, 2 do
  if ARGV[i] == '1' then
    redis.call('ZADD', KEYS[2], 'XX', ARGV[1], ARGV[i + 1])
  else
    redis.call('ZADD', KEYS[1], 'XX', ARGV[1], ARGV[i + 1])
    redis.call('ZADD', KEYS[3], 'XX', ARGV[1], ARGV[i + 1])
  end
end
return 1
