-- Takes devices of a host for a worker: all that it needs, or none.
-- Starts with DEL, so that a worker can begin to drain a full broker.
-- Enough must stay free for each step served beside a holder's, or beside the worker's own, that has none yet.
-- So a second worker of a step waits for the first one of another, and no run that has begun waits for one that comes
-- later: there is no deadlock.
-- KEYS  1.. leases of the devices that the worker may use
-- ARGV  1 who the worker is (JSON: run, step, wants, beside)   2 lease in ms
-- returns {1, numbers of the devices taken...} or {0, who has each device or ''...}
local me = cjson.decode(ARGV[1])
local mine, free, holders = {}, {}, {0}
local wanted, served = {[me.run] = me.beside}, {}
for i, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  holders[i + 1] = value or ''
  if value == ARGV[1] then
    mine[#mine + 1] = i
  elseif value then
    local known, other = pcall(cjson.decode, value)
    -- A foreign value still means that the device is taken.
    if known and type(other) == 'table' and type(other.run) == 'string' and type(other.step) == 'string' then
      wanted[other.run] = wanted[other.run] or (type(other.beside) == 'table' and other.beside) or {}
      served[other.run .. '/' .. other.step] = true
    end
  else
    free[#free + 1] = i
  end
end
if #mine == 0 then
  local kept, count = {}, 0
  for run, steps in pairs(wanted) do
    for step, wants in pairs(steps) do
      if not served[run .. '/' .. step] and not (run == me.run and step == me.step) then
        if type(wants) == 'number' then
          count = count + wants
        elseif type(wants) == 'table' then
          for _, key in ipairs(wants) do
            kept[key] = true
          end
        end
      end
    end
  end
  local chosen = {}
  if type(me.wants) == 'table' then
    for _, key in ipairs(me.wants) do
      chosen[key] = true
    end
  end
  local left, wants = 0, type(me.wants) == 'number' and me.wants or #me.wants
  for _, i in ipairs(free) do
    if kept[KEYS[i]] then
      -- it stays where it is
    elseif chosen[KEYS[i]] or (type(me.wants) == 'number' and #mine < wants) then
      mine[#mine + 1] = i
    else
      left = left + 1
    end
  end
  if #mine < wants or left < count then
    return holders
  end
end
for _, i in ipairs(mine) do
  redis.call('DEL', KEYS[i])
  redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
end
return {1, unpack(mine)}
