-- Stores the manifest of a global step.
-- KEYS  1 run hash   2 manifest
-- ARGV  1 epoch   2 manifest
-- returns 1, or 0 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2])
return 1
