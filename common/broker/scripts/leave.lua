-- Ends a worker's membership. Its consumer goes only when nothing is pending for it, since that would be lost with it.
-- The worker stays known for a while, since its process may not have ended.
-- KEYS  1 the step's stream   2 hash of workers   3 its lease   4 generator's hash   5 set of those who have left
-- ARGV  1 group   2 worker   3 seconds that it is known
-- returns 1
redis.call('DEL', KEYS[3])
local facts = redis.call('HGET', KEYS[2], ARGV[2])
if facts then
  redis.call('SADD', KEYS[5], facts)
  redis.call('EXPIRE', KEYS[5], ARGV[3])
  redis.call('HDEL', KEYS[2], ARGV[2])
end
local silent = redis.call('HGET', KEYS[4], 'silent')
local first, last = string.find((silent or '') .. ' ', ' ' .. ARGV[2] .. ' ', 1, true)
if first then  -- it was wrongly taken for dead
  redis.call('HSET', KEYS[4], 'silent', string.sub(silent, 1, first - 1) .. string.sub(silent, last))
end
if redis.call('HGET', KEYS[4], 'owner') == ARGV[2] then
  redis.call('HDEL', KEYS[4], 'owner')
end
if redis.call('EXISTS', KEYS[1]) == 1
  and #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return 1
