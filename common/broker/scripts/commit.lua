-- Commits the result of a batch: acknowledged, stored, journaled and its dead letters kept, or nothing at all.
-- Starts with XACK, so that work in hand drains on a full broker.
-- If a batch was delivered twice, the first payload stays: some of its rows may already have been used.
-- KEYS  1 the step's stream   2 progress of the run   3 journal   4 stream of dead letters   5 what isolation noted
--       6 manifest of a global step   7 payload (only with a payload)
-- ARGV  1 group   2 worker   3 entry   4 message   5 payload or ''   6.. dead letters
-- returns 1, or 0 when the entry is not pending for this worker
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2]) == 0 then
  return 0
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('UNLINK', KEYS[5], KEYS[6])
if ARGV[5] ~= '' then
  redis.call('SET', KEYS[7], ARGV[5], 'NX')
end
local position = redis.call('HINCRBY', KEYS[2], 'position', 1)
redis.call('XADD', KEYS[3], position .. '-0', 'm', ARGV[4])
for i = 6, #ARGV do
  redis.call('XADD', KEYS[4], '*', 'm', ARGV[i])
end
local expires = redis.call('HGET', KEYS[2], 'expires') or ''
if string.match(expires, '^%d+$') and #expires <= 15 then  -- the run is complete: this is a second delivery
  redis.call('PEXPIRE', KEYS[4], expires)
  if KEYS[7] then
    redis.call('PEXPIRE', KEYS[7], expires)
  end
end
return 1
