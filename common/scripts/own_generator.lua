-- Makes the caller the one worker that serves a generator, if the owner before it is dead.
-- KEYS  1 generator's hash   2 lease of the owner that the caller saw
-- ARGV  1 worker   2 the owner that the caller saw, or ''
-- returns {1, next seq, rows yielded so far, attempt, ended} or {0, owner}
local owner = redis.call('HGET', KEYS[1], 'owner') or ''
if owner ~= ARGV[1] then
  if owner ~= ARGV[2] or (owner ~= '' and redis.call('EXISTS', KEYS[2]) == 1) then
    return {0, owner}
  end
  redis.call('HSET', KEYS[1], 'owner', ARGV[1])
end
local state = redis.call('HMGET', KEYS[1], 'next', 'offset', 'attempt', 'ended')
return {1, tonumber(state[1] or '0'), tonumber(state[2] or '0'), tonumber(state[3] or '0'), tonumber(state[4] or '0')}
