-- Keeps a worker's devices for another lease. An expired one is taken again, unless another worker has it.
-- Starts with DEL where it sets, so that a full broker does not make devices look free.
-- KEYS  1.. leases of its devices
-- ARGV  1 who the worker is   2 lease in ms
-- returns the number of devices that other workers have
local lost = 0
for _, key in ipairs(KEYS) do
  local holder = redis.call('GET', key)
  if not holder then
    redis.call('DEL', key)
    redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
  elseif holder == ARGV[1] then
    redis.call('PEXPIRE', key, ARGV[2])
  else
    lost = lost + 1
  end
end
return lost
