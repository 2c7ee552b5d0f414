-- Deletes keys of a run under a lease, which is renewed, so that nobody begins it before all of them are gone.
-- Starts with PEXPIRE, or UNLINK, so that room can be made on a full broker.
-- KEYS  1 coordinator's lease   2.. keys to delete, which may be that lease
-- ARGV  1 token of the lease, or '' where nobody has one   2 lease in ms
-- returns the number deleted, or -1 where the lease is not that one any more, and nothing is deleted
if ARGV[1] ~= '' then
  local known, fields = pcall(cjson.decode, redis.call('GET', KEYS[1]) or '')
  if not (known and type(fields) == 'table' and fields.token == ARGV[1]) then
    return -1
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
local deleted = 0
for i = 2, #KEYS do
  deleted = deleted + redis.call('UNLINK', KEYS[i])
end
return deleted
