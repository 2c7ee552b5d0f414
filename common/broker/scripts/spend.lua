-- Notes what a worker has spent on models so far; an older note never replaces a newer one.
-- KEYS  1 progress of the run   2 hash of what was spent
-- ARGV  1 worker   2 answers so far   3 message   4 '1' once it spends no more
-- returns 1, or 0 where the run is gone
if redis.call('HEXISTS', KEYS[1], 'status') == 0 then
  return 0
end
local held = redis.call('HGET', KEYS[2], ARGV[1])
local before = tonumber(string.match(held or '', '^(%d+) ') or '-1')
if before < tonumber(ARGV[2]) or (before == tonumber(ARGV[2]) and ARGV[4] == '1') then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. ARGV[4] .. ' ' .. ARGV[3])
  local expires = redis.call('HGET', KEYS[1], 'expires') or ''
  if string.match(expires, '^%d+$') and #expires <= 15 then
    redis.call('PEXPIRE', KEYS[2], expires)
  end
end
return 1
