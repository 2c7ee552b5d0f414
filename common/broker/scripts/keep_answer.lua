-- Keeps an answer to a request, and gives it to a place of a run, which may not have another one of the same attempt.
-- Starts with HSET, so that a full broker refuses it.
-- KEYS  1 answers to the request   2 claims of the run   3 when each key was last used   4 bytes of each key
-- ARGV  1 claimant   2 request   3 attempt   4 now in ms   5 ms until what is not used expires   6 bytes of a claim
--       7 ms until keys 3 and 4 expire   8 bytes of the answer   9 bytes of a first answer beside   10 the answer
--       11 generation of the key, where it does not exist   12 model   13 parts of the request
-- returns {number, generation of the key, bytes of all keys}
local generation, last = unpack(redis.call('HMGET', KEYS[1], 'generation', 'last'))
local number, attempt, claimed_in = string.match(redis.call('HGET', KEYS[2], ARGV[1]) or '', '^(%d+) (%d+) (%x+)$')
local has_one = false
if claimed_in and claimed_in == generation then
  local held = redis.call('HGET', KEYS[1], number)
  if held == ARGV[10] then -- the reply to an earlier call was lost
    return {tonumber(number), generation, tonumber(redis.call('HGET', KEYS[4], 'total') or '0')}
  end
  has_one = held and tonumber(attempt) >= tonumber(ARGV[3])
end
local bytes, claim = tonumber(ARGV[8]), 0
if not generation then
  generation, last = ARGV[11], '0'
  bytes = bytes + tonumber(ARGV[9])
  redis.call('HSET', KEYS[1], 'generation', generation, 'model', ARGV[12], 'parts', ARGV[13], 'first', ARGV[4])
end
local new = tonumber(last) + 1
redis.call('HSET', KEYS[1], 'last', new, 'newest', ARGV[4], new, ARGV[10])
if not has_one then
  claim = tonumber(ARGV[6])
  redis.call('HSET', KEYS[2], ARGV[1], new .. ' ' .. ARGV[3] .. ' ' .. generation)
  local pointer = 'p' .. ARGV[2]
  local passed, passed_in = string.match(redis.call('HGET', KEYS[2], pointer) or '', '^(%d+) (%x+)$')
  if (passed_in == generation and tonumber(passed) or 0) == new - 1 then
    redis.call('HSET', KEYS[2], pointer, new .. ' ' .. generation)
  else
    redis.call('HSET', KEYS[2], 't' .. ARGV[2] .. new, generation)
  end
  redis.call('HINCRBY', KEYS[4], KEYS[2], claim)
  redis.call('ZADD', KEYS[3], ARGV[4], KEYS[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
redis.call('HINCRBY', KEYS[4], KEYS[1], bytes)
redis.call('ZADD', KEYS[3], ARGV[4], KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[7])
redis.call('PEXPIRE', KEYS[4], ARGV[7])
return {new, generation, redis.call('HINCRBY', KEYS[4], 'total', bytes + claim)}
