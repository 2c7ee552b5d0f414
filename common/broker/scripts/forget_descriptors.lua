-- Forgets workers' descriptions of steps, so that they are asked again.
-- KEYS  1 run hash   2 progress of the run
-- ARGV  1 epoch   2.. fields of the descriptors
-- returns 1, or 0 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
for i = 2, #ARGV do
  redis.call('HDEL', KEYS[2], ARGV[i])
end
return 1
