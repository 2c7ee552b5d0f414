-- Frees unneeded payloads and notes how far the effects of the journal are done.
-- Starts with PERSIST and UNLINK, so that it goes through on a full broker, also where it frees nothing.
-- KEYS  1 run hash   2.. payloads
-- ARGV  1 epoch   2 position in the journal
-- returns 1, or 0 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('PERSIST', KEYS[1])
for i = 2, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
redis.call('HSET', KEYS[1], 'cursor', ARGV[2])
return 1
