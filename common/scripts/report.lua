-- Adds log records of a worker to those on their way to the run directory; nothing where the run is gone.
-- KEYS  1 progress of the run   2 stream of log records
-- ARGV  1 records to keep, about   2.. records
-- returns 1 and how many older records were dropped, or 0 where the run is gone
if redis.call('HEXISTS', KEYS[1], 'status') == 0 then
  return 0
end
local before = redis.call('XLEN', KEYS[2])
for i = 2, #ARGV do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', 'm', ARGV[i])
end
return before + #ARGV - redis.call('XLEN', KEYS[2])
