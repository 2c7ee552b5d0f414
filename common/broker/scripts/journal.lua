-- Appends decisions of the coordinator to the journal.
-- KEYS  1 run hash   2 journal   3 progress of the run
-- ARGV  1 epoch   2.. messages
-- returns the position of the last one, or 0 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
local position = tonumber(redis.call('HGET', KEYS[3], 'position') or '0')
for i = 2, #ARGV do
  position = position + 1
  redis.call('XADD', KEYS[2], position .. '-0', 'm', ARGV[i])
end
redis.call('HSET', KEYS[3], 'position', position)
return position
