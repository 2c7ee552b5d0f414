-- Marks a kept answer that no row could keep, or removes a damaged one.
-- Starts with HDEL, so that it is done on a full broker.
-- KEYS  1 answers to the request
-- ARGV  1 number of the answer   2 generation of the key   3 '1' to remove it
-- returns 1, or 0 where there is no such answer
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[2] or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[3] == '1' and ARGV[1] or '')
if ARGV[3] ~= '1' and redis.call('HSET', KEYS[1], 'rejected:' .. ARGV[1], 1) == 1 then
  redis.call('HINCRBY', KEYS[1], 'rejected', 1)
end
return 1
