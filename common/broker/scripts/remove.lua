-- Begins the removal of a run without a coordinator. A new coordinator has to wait for its end, and then starts over.
-- Starts with UNLINK, so that room can be made on a full broker.
-- KEYS  1 run hash   2 progress of the run   3 coordinator's lease
-- ARGV  1 who removes it (JSON)   2 lease in ms   3 token of a holder known to be dead, or ''
-- returns {1, keys removed} or {0, who holds the lease}
local holder = redis.call('GET', KEYS[3])
if holder then
  local known, fields = pcall(cjson.decode, holder)
  if not (known and type(fields) == 'table' and fields.token == ARGV[3]) then
    return {0, holder}
  end
end
local removed = redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
return {1, removed}
