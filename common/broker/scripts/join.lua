-- Makes a worker known, or updates it; does nothing if the run is gone.
-- KEYS  1 progress of the run   2 hash of workers   3 the worker's lease (only for a worker that serves)
-- ARGV  1 worker   2 who it is (JSON)   3 lease in ms
-- returns 1, or 0 where the run is gone
if redis.call('HEXISTS', KEYS[1], 'status') == 0 then
  return 0
end
if KEYS[3] then
  redis.call('SET', KEYS[3], 1, 'PX', ARGV[3])
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local expires = redis.call('HGET', KEYS[1], 'expires') or ''
if string.match(expires, '^%d+$') and #expires <= 15 then
  redis.call('PEXPIRE', KEYS[2], expires)
end
return 1
