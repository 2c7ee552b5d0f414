-- Commits what a generator made: only the next batch, only by its owner, for a ticket in hand.
-- Starts with XACK, so that work in hand drains on a full broker.
-- KEYS  1 the step's stream   2 progress of the run   3 journal   4 stream of dead letters   5 generator's hash
--       6 payload (only with a payload)
-- ARGV  1 group   2 worker   3 entry   4 message   5 payload or ''   6 seq   7 attempt
--       8 rows yielded so far   9 'made', 'last' or 'failed'   10 epoch that the worker saw   11.. dead letters
-- returns 1, or 0 when the ticket, the generator or the seq is not this worker's
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2]) == 0 then
  return 0
end
local state = redis.call('HMGET', KEYS[5], 'owner', 'next', 'attempt', 'ended')
if state[1] ~= ARGV[2] or (state[2] or '0') ~= ARGV[6] or (state[3] or '0') ~= ARGV[7] or state[4] then
  return 0
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[5], 'silent')
if ARGV[9] == 'failed' then
  redis.call('HINCRBY', KEYS[5], 'attempt', 1)
  redis.call('HSET', KEYS[5], 'failed', ARGV[10])
else
  redis.call('HSET', KEYS[5], 'next', tonumber(ARGV[6]) + 1, 'offset', ARGV[8], 'attempt', 0)
  if ARGV[9] == 'last' then
    redis.call('HSET', KEYS[5], 'ended', 1)
  end
end
if ARGV[5] ~= '' then
  redis.call('SET', KEYS[6], ARGV[5])
end
local position = redis.call('HINCRBY', KEYS[2], 'position', 1)
redis.call('XADD', KEYS[3], position .. '-0', 'm', ARGV[4])
for i = 11, #ARGV do
  redis.call('XADD', KEYS[4], '*', 'm', ARGV[i])
end
return 1
