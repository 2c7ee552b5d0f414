-- Makes the caller the one worker that serves a generator, if the owner before it is dead.
-- After a failure nobody serves it until the run is resumed, with another epoch.
-- KEYS  1 generator's hash   2 lease of the owner that the caller saw
-- ARGV  1 worker   2 the owner that the caller saw, or ''   3 epoch of the run
-- returns {1, next seq, rows yielded so far, attempt, ended, owners that fell silent at this seq} or {0, owner}
local owner = redis.call('HGET', KEYS[1], 'owner') or ''
if redis.call('HGET', KEYS[1], 'failed') == ARGV[3] then
  return {0, owner}
end
if owner ~= ARGV[1] then
  if owner ~= ARGV[2] or (owner ~= '' and redis.call('EXISTS', KEYS[2]) == 1) then
    return {0, owner}
  end
  redis.call('HSET', KEYS[1], 'owner', ARGV[1])
  if owner ~= '' then
    local silent = redis.call('HGET', KEYS[1], 'silent') or ''
    if not string.find(silent .. ' ', ' ' .. owner .. ' ', 1, true) then
      redis.call('HSET', KEYS[1], 'silent', silent .. ' ' .. owner)
    end
  end
end
local state = redis.call('HMGET', KEYS[1], 'next', 'offset', 'attempt', 'ended')
for i = 1, 4 do
  -- As it is written: the commit compares texts.
  local text = state[i] or '0'
  state[i] = (text == '0' or string.match(text, '^[1-9]%d*$')) and #text <= 15 and tonumber(text) or -1
end
state[5] = redis.call('HGET', KEYS[1], 'silent') or ''
return {1, unpack(state)}
