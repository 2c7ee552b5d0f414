-- Stores a payload of a global step ahead of the commit that links it.
-- KEYS  1 the step's stream   2 payload   3 progress of the run
-- ARGV  1 group   2 worker   3 entry   4 rows
-- returns 1, or 0 when the entry is not pending for this worker: another one's payload may be there, and in use
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2]) == 0 then
  return 0
end
redis.call('SET', KEYS[2], ARGV[4])
local expires = redis.call('HGET', KEYS[3], 'expires') or ''
if string.match(expires, '^%d+$') and #expires <= 15 then
  redis.call('PEXPIRE', KEYS[2], expires)
end
return 1
