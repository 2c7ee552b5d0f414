-- Adds log records of a worker to those on their way to the run directory; does nothing if the run is gone.
-- Each entry holds the total bytes of records so far, so that the oldest tells how many bytes wait.
-- KEYS  1 progress of the run   2 stream of log records
-- ARGV  1 records to keep   2 bytes of them to keep   3.. records
-- returns 1 and how many older records were dropped, or 0 where the run is gone
if redis.call('HEXISTS', KEYS[1], 'status') == 0 then
  return 0
end
local function number(text)
  local given = tonumber(text or '') or 0
  return given >= 0 and given < 2 ^ 53 and given or 0
end
local function record_and_total(entry)
  local fields = {m = '', total = ''}
  for i = 1, #entry[2], 2 do
    fields[entry[2][i]] = entry[2][i + 1]
  end
  return fields.m, number(fields.total)
end
local total = number(redis.call('HGET', KEYS[1], 'logged'))
for i = 3, #ARGV do
  total = total + #ARGV[i]
  redis.call('XADD', KEYS[2], '*', 'm', ARGV[i], 'total', string.format('%d', total))
end
redis.call('HSET', KEYS[1], 'logged', string.format('%d', total))
local expires = redis.call('HGET', KEYS[1], 'expires') or ''
if string.match(expires, '^%d+$') and #expires <= 15 then
  redis.call('PEXPIRE', KEYS[2], expires)
end
local length = redis.call('XLEN', KEYS[2])
local dropped, count = 0, 1
while length > 1 do
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', count)) do
    local text, up_to = record_and_total(entry)
    local waiting = total - up_to + #text
    if length == 1 or (length <= tonumber(ARGV[1]) and waiting <= tonumber(ARGV[2])) then
      return 1 + dropped
    end
    redis.call('XDEL', KEYS[2], entry[1])
    length = length - 1
    dropped = dropped + 1
  end
  count = 100
end
return 1 + dropped
