-- Sends batches of one step, in seq order; skips those sent before.
-- Starts with XADD, so that a full broker takes no new work; with PERSIST where it is to drain by this work.
-- KEYS  1 run hash   2 the step's stream
-- ARGV  1 epoch   2 field of the number sent   3 seq of the first message   4 'drain' or ''   5.. messages
-- returns the number sent so far; -1 when another coordinator has the run; -2 when batches before the first are missing
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return -1
end
local sent = tonumber(redis.call('HGET', KEYS[1], ARGV[2]) or '0')
local seq = tonumber(ARGV[3])
if seq > sent then
  return -2
end
if ARGV[4] == 'drain' then
  redis.call('PERSIST', KEYS[1])
end
for i = 5, #ARGV do
  if seq >= sent then
    redis.call('XADD', KEYS[2], '*', 'm', ARGV[i])
    sent = seq + 1
  end
  seq = seq + 1
end
redis.call('HSET', KEYS[1], ARGV[2], sent)
return sent
