-- settle notes that everything unstored is of this generation. KEYS: lease, generation. ARGV: owner, the
-- generation in which that was seen.
if (holder(KEYS[1])) ~= ARGV[1] or G ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], G)
return 1
