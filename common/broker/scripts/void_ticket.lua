-- Removes tickets of an ended generator from its stream.
-- KEYS  1 the step's stream   2 generator's hash
-- ARGV  1 group   2 worker   3.. entries
-- returns the number taken out; -1 where the generator has not ended, and nothing is taken out
if not redis.call('HGET', KEYS[2], 'ended') then
  return -1
end
local voided = 0
for i = 3, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2]) > 0 then
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
    redis.call('XDEL', KEYS[1], ARGV[i])
    voided = voided + 1
  end
end
return voided
