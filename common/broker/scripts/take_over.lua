-- Makes the caller the coordinator of a run, if no other one is alive.
-- Starts with DEL, so that a run can continue, and drain, on a full broker.
-- KEYS  1 run hash   2 coordinator's lease
-- ARGV  1 token of the caller   2 who the caller is (JSON)   3 lease in ms   4 token of a holder known to be dead, or ''
-- returns {1, epoch} or {0, who holds the lease}
local holder = redis.call('GET', KEYS[2])
if holder then
  local known, fields = pcall(cjson.decode, holder)
  local token = known and type(fields) == 'table' and fields.token
  if token ~= ARGV[1] and token ~= ARGV[4] then
    return {0, holder}
  end
end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
local number = redis.call('HINCRBY', KEYS[1], 'takeovers', 1)
local epoch = number .. ':' .. ARGV[1]
redis.call('HSET', KEYS[1], 'epoch', epoch)
return {1, epoch}
