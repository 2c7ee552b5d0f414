-- Ends a run: notes how, gives the lease back, and lets every key of a complete run expire.
-- KEYS  1 run hash   2 coordinator's lease   3 progress of the run   4.. all other keys of the run
-- ARGV  1 epoch   2 status   3 time to live in ms, or 0 to keep the run
-- returns 1, or 0 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'status', ARGV[2])
redis.call('HSET', KEYS[3], 'status', ARGV[2])
redis.call('HDEL', KEYS[1], 'want')
if ARGV[3] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  for i = 3, #KEYS do
    redis.call('PEXPIRE', KEYS[i], ARGV[3])
  end
end
return 1
