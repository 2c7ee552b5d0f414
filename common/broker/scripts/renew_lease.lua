-- Renews the coordinator's lease, or releases it.
-- Starts with PEXPIRE, so that a full broker does not make its coordinator look dead.
-- KEYS  1 run hash   2 coordinator's lease
-- ARGV  1 epoch   2 who the caller is (JSON)   3 lease in ms, 0 to give it back
-- returns 1, or 0 when another coordinator has the run
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[2])
else
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
return 1
