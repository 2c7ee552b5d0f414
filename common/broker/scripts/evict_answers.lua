-- Deletes kept answers and claims that were not used since a moment.
-- Starts with UNLINK, so that room can be made on a full broker.
-- KEYS  1 when each key was last used   2 bytes of each key   3.. keys to delete
-- ARGV  1 moment in ms
-- returns {answers deleted, bytes of all keys that are left}
local deleted = 0
for i = 3, #KEYS do
  local used = redis.call('ZSCORE', KEYS[1], KEYS[i])
  if not used or tonumber(used) <= tonumber(ARGV[1]) then
    deleted = deleted + tonumber(redis.call('HGET', KEYS[i], 'last') or '0')
    redis.call('UNLINK', KEYS[i])
    local bytes = redis.call('HGET', KEYS[2], KEYS[i])
    if bytes then
      redis.call('HDEL', KEYS[2], KEYS[i])
      redis.call('HINCRBY', KEYS[2], 'total', -tonumber(bytes))
    end
    redis.call('ZREM', KEYS[1], KEYS[i])
  end
end
return {deleted, tonumber(redis.call('HGET', KEYS[2], 'total') or '0')}
