-- Ends a run: notes how, releases the lease, and lets every key of a complete run expire.
-- Entries left in a complete run's streams need no work: tickets of ended generators, second deliveries.
-- KEYS  1 run hash   2 coordinator's lease   3 progress of the run   4.. the steps' streams, then all other keys
-- ARGV  1 epoch   2 status   3 time to live in ms, or 0 to keep the run   4 the number of steps whose streams to empty
-- returns 1, or 0 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'status', ARGV[2])
redis.call('HSET', KEYS[3], 'status', ARGV[2])
redis.call('HDEL', KEYS[1], 'want')
for i = 4, 3 + tonumber(ARGV[4]) do
  redis.call('XTRIM', KEYS[i], 'MAXLEN', 0)
end
if ARGV[3] ~= '0' then
  redis.call('HSET', KEYS[3], 'expires', ARGV[3])  -- for keys that a worker makes later
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  for i = 3, #KEYS do
    redis.call('PEXPIRE', KEYS[i], ARGV[3])
  end
end
return 1
