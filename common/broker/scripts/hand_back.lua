-- Gives entries back: they wait under a name that no worker has, and are claimed before new ones are read. A new entry
-- would wait behind all that was sent after it. This delivery does not count.
-- Writes with XCLAIM alone, so that a worker can leave a full broker.
-- KEYS  1 the step's stream
-- ARGV  1 group   2 the worker that has them   3 that name   4.. entries
-- returns the number given back
local given = 0
for i = 4, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if #pending > 0 then
    local deliveries = pending[1][4] - 1
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[i], 'RETRYCOUNT', deliveries, 'JUSTID')
    given = given + 1
  end
end
return given
