-- Takes entries over from a dead worker; a new delivery is counted for each.
-- KEYS  1 the step's stream   2 lease of the dead worker
-- ARGV  1 group   2 worker   3 dead worker   4.. entries
-- returns {entry, fields, deliveries} for each one taken; nothing if the other worker is alive after all
if redis.call('EXISTS', KEYS[2]) == 1 then
  return {}
end
local claimed = {}
for i = 4, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[3])
  if #pending > 0 then
    local entries = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i])
    if entries[1] and entries[1][2] then
      claimed[#claimed + 1] = {ARGV[i], entries[1][2], pending[1][4] + 1}
    else
      redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
    end
  end
end
return claimed
