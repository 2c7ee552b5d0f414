-- Notes what workers have found out about a step; nothing where the run is gone.
-- KEYS  1 progress of the run
-- ARGV  1 field   2 value; 1 if not given
-- returns 1, or 0 where the run is gone
if redis.call('HEXISTS', KEYS[1], 'status') == 0 then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] or 1)
return 1
