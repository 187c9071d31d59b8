-- generation is that of the server. KEYS: any key of the shard.
return G
