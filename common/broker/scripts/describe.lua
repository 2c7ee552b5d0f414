-- Records the description of a step that the coordinator cannot import. The first description stays.
-- KEYS  1 progress of the run
-- ARGV  1 field   2 descriptor
-- returns the descriptor that holds, or nothing where the run does not wait for one
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and held ~= '' then
  return held
end
if redis.call('HGET', KEYS[1], 'status') ~= 'starting' then
  return false
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return ARGV[2]
