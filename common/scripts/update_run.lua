-- Sets fields of the run hash.
-- Starts with PERSIST, so that it goes through on a full broker; a run that is worked on does not expire.
-- KEYS  1 run hash
-- ARGV  1 epoch   2.. field, value, field, value...
-- returns 1, or 0 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('PERSIST', KEYS[1])
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
return 1
