-- Frees payloads of a global step that no commit will link.
-- KEYS  1 the step's stream   2.. payloads
-- ARGV  1 group   2 worker   3 entry
-- returns 1, or 0 when the entry is not pending for this worker: they may be another one's, and in use
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2]) == 0 then
  return 0
end
for i = 2, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
return 1
