-- Sends a batch again, once per attempt.
-- KEYS  1 run hash   2 the step's stream
-- ARGV  1 epoch   2 field of the batch's last attempt   3 attempt   4 message
-- returns 1, 0 when this attempt was sent before, -1 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return -1
end
if tonumber(redis.call('HGET', KEYS[1], ARGV[2]) or '0') >= tonumber(ARGV[3]) then
  return 0
end
redis.call('XADD', KEYS[2], '*', 'm', ARGV[4])
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
