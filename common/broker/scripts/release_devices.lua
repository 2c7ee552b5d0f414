-- Releases a worker's devices.
-- KEYS  1.. leases of its devices
-- ARGV  1 who the worker is
-- returns the number given back
local given = 0
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then
    given = given + redis.call('DEL', key)
  end
end
return given
