-- Notes, for a batch that runs row by row, which row is about to run, or the output of a row.
-- KEYS  1 the step's stream   2 the batch's hash   3 progress of the run
-- ARGV  1 group   2 worker   3 entry   4.. field, value, field, value...
-- returns 1, or 0 when the entry is not pending for this worker
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2]) == 0 then
  return 0
end
for i = 4, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
local expires = redis.call('HGET', KEYS[3], 'expires') or ''
if string.match(expires, '^%d+$') and #expires <= 15 then
  redis.call('PEXPIRE', KEYS[2], expires)
end
return 1
