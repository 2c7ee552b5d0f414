-- Sets fields of the run hash. The status is noted for scripts of workers too, which may not touch that hash.
-- Starts with PERSIST, so that it goes through on a full broker; a run that is worked on does not expire.
-- KEYS  1 run hash   2 progress of the run
-- ARGV  1 epoch   2.. field, value, field, value...
-- returns 1, or 0 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('PERSIST', KEYS[1])
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  if ARGV[i] == 'status' then
    redis.call('HSET', KEYS[2], 'status', ARGV[i + 1])
  end
end
return 1
