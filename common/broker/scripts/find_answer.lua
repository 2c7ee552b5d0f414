-- Finds a kept answer for a place of a run: the one that it had before, else the first that no place of the run has.
-- Starts with PEXPIRE, so that answers are found on a full broker.
-- KEYS  1 answers to the request   2 claims of the run   3 when each key was last used   4 bytes of each key
-- ARGV  1 claimant   2 request   3 attempt   4 now in ms   5 ms until what is not used expires   6 bytes of a claim
--       7 ms until keys 3 and 4 expire
-- returns {} or {number, generation of the key, 1 where no row could keep it, the answer}
if redis.call('PEXPIRE', KEYS[1], ARGV[5]) == 0 then
  return {}
end
local generation, last = unpack(redis.call('HMGET', KEYS[1], 'generation', 'last'))
if not generation or not last then
  return {}
end

local function is_rejected(number)
  return redis.call('HEXISTS', KEYS[1], 'rejected:' .. number) == 1
end

-- The place's own. What was claimed in an earlier generation of the key is gone.
local number, attempt, claimed_in = string.match(redis.call('HGET', KEYS[2], ARGV[1]) or '', '^(%d+) (%d+) (%x+)$')
if claimed_in == generation then
  local answer, rejected = redis.call('HGET', KEYS[1], number), is_rejected(number)
  if answer and (not rejected or attempt == ARGV[3]) then
    redis.call('ZADD', KEYS[3], 'XX', ARGV[4], KEYS[1])
    return {tonumber(number), generation, rejected and 1 or 0, answer}
  end
end

-- All up to this number are claimed by the run, rejected or gone.
local pointer, taken = 'p' .. ARGV[2], 't' .. ARGV[2]
local passed, passed_in = string.match(redis.call('HGET', KEYS[2], pointer) or '', '^(%d+) (%x+)$')
local first = passed_in == generation and tonumber(passed) or 0
local found, answer
for candidate = first + 1, tonumber(last) do
  if redis.call('HGET', KEYS[2], taken .. candidate) == generation then
    redis.call('HDEL', KEYS[2], taken .. candidate)
  elseif not is_rejected(candidate) then
    answer = redis.call('HGET', KEYS[1], candidate)
    found = answer and candidate
  end
  first = candidate
  if found then
    break
  end
end
if first > 0 then
  redis.call('HSET', KEYS[2], pointer, first .. ' ' .. generation)
end
if found then
  redis.call('HSET', KEYS[2], ARGV[1], found .. ' ' .. ARGV[3] .. ' ' .. generation)
  redis.call('HINCRBY', KEYS[4], KEYS[2], ARGV[6])
  redis.call('HINCRBY', KEYS[4], 'total', ARGV[6])
  redis.call('ZADD', KEYS[3], ARGV[4], KEYS[1], ARGV[4], KEYS[2])
end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[7])
redis.call('PEXPIRE', KEYS[4], ARGV[7])
return found and {found, generation, 0, answer} or {}
