-- Journals a part that is on disk and frees the payloads that it holds: both or neither.
-- Starts with PERSIST and UNLINK, so that it goes through on a full broker, also where it frees nothing.
-- KEYS  1 run hash   2 journal   3 stream of dead letters   4 progress of the run   5.. payloads
-- ARGV  1 epoch   2 message   3.. dead letters: rows that could not be written
-- returns the position in the journal, or 0 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('PERSIST', KEYS[1])
for i = 5, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
local position = redis.call('HINCRBY', KEYS[4], 'position', 1)
redis.call('XADD', KEYS[2], position .. '-0', 'm', ARGV[2])
for i = 3, #ARGV do
  redis.call('XADD', KEYS[3], '*', 'm', ARGV[i])
end
return position
