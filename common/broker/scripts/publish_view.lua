-- Publishes what a run looks like now, and adds to its histories. The time is that of the histories' entries.
-- Starts with DEL, so that a full broker still shows what it waits for; views are bounded.
-- KEYS  1 run hash   2 view   3.. histories, one at least
-- ARGV  1 epoch   2 view   3 entry of the histories   4 time to live in ms, or 0   5.. entries that each history keeps
-- returns 1, or 0 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
local entry
for i = 3, #KEYS do
  entry = redis.call('XADD', KEYS[i], 'MAXLEN', ARGV[i + 2], '*', 'm', ARGV[3])
end
redis.call('HSET', KEYS[2], 'm', ARGV[2], 'at', string.match(entry, '^%d+'))
if ARGV[4] ~= '0' then
  for i = 2, #KEYS do
    redis.call('PEXPIRE', KEYS[i], ARGV[4])
  end
end
return 1
