-- retry makes a quarantined row due. KEYS: quarantine. ARGV: name.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], 0, ARGV[1])
return 1
