-- Gives entries back to the stream, where any worker finds them at once. Deliveries so far are kept in the entry.
-- Starts with XACK, so that a worker can leave a full broker.
-- KEYS  1 the step's stream
-- ARGV  1 group   2 the worker that has them   3 deliveries not to count: 1 when the entry was never begun, else 0
--       4.. entries
-- returns the number given back
local given = 0
for i = 4, #ARGV do
  local id = ARGV[i]
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  local entry = #pending > 0 and redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then
    local before = tonumber(entry[2][4] or '0') or 0
    local deliveries = before + pending[1][4] - tonumber(ARGV[3])
    redis.call('XACK', KEYS[1], ARGV[1], id)
    redis.call('XDEL', KEYS[1], id)
    redis.call('XADD', KEYS[1], '*', 'm', entry[2][2], 'd', deliveries)
    given = given + 1
  end
end
return given
