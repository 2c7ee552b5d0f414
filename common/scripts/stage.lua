-- Stores a chunk of a global step's output ahead of the commit that links it; nothing where the run is gone.
-- KEYS  1 progress of the run   2 payload
-- ARGV  1 payload
-- returns 1, or 0 where the run is gone
if redis.call('HEXISTS', KEYS[1], 'status') == 0 then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1])
return 1
