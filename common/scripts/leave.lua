-- Ends a worker's membership. Its consumer goes only when nothing is pending for it, since that would be lost with it.
-- KEYS  1 the step's stream   2 hash of workers   3 its lease   4 generator's hash
-- ARGV  1 group   2 worker
-- returns 1
redis.call('DEL', KEYS[3])
redis.call('HDEL', KEYS[2], ARGV[2])
if redis.call('HGET', KEYS[4], 'owner') == ARGV[2] then
  redis.call('HDEL', KEYS[4], 'owner')
end
if redis.call('EXISTS', KEYS[1]) == 1
  and #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return 1
