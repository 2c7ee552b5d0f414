-- Removes an entry that is not a batch from a step's stream, and records it as a dead letter.
-- Starts with XACK, so that it goes through on a full broker.
-- KEYS  1 the step's stream   2 stream of dead letters   3 progress of the run
-- ARGV  1 group   2 worker   3 entry   4 dead letter
-- returns 1, or 0 when the entry is not pending for this worker
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2]) == 0 then
  return 0
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('XADD', KEYS[2], '*', 'm', ARGV[4])
redis.call('HINCRBY', KEYS[3], 'discarded', 1)
local expires = redis.call('HGET', KEYS[3], 'expires') or ''
if string.match(expires, '^%d+$') and #expires <= 15 then
  redis.call('PEXPIRE', KEYS[2], expires)
end
return 1
