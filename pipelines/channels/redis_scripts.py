"""What Redis itself does, in one step each: the Lua scripts of a run's keys.

Every key of a run starts with ``pipelines:{<run>}:`` and stays in one slot of a cluster:

=====================  ========  ==========================================================================
``meta``               hash      what the parts must agree on, which are done, and the failure of the run
``host:<h>``           hash      who is the part of that host: its generation, token, and last write
``lease:<h>``          string    the token of the living process; gone when nobody renews it
``edges``              set       names of all edges
``edge:<e>``           stream    what is sent and not acknowledged
``seen:<e>``           set       ids that were sent and are not forgotten
``state:<e>``          hash      the end marker, and who waits for items or for room
``inbox:<h>``          stream    messages to that host
``wake:<token>``       list      what a waiting process is woken with
``free:<h>``           list      what a standby is woken with
``progress:<h>``       hash      how far each source of that host was handled
``snapshots``          hash      what each host published last
=====================  ========  ==========================================================================

`APPLY` runs writes of one part, `ASK` reads for it, `JOIN` lets it in. Arguments and answers are msgpack.
"""

from __future__ import annotations

__all__ = ["APPLY", "ASK", "JOIN", "PURGE"]

_COMMON = """
local call, unpacked, packed = redis.call, cmsgpack.unpack, cmsgpack.pack
local prefix = string.sub(KEYS[1], 1, -5)
local me = unpacked(ARGV[1])
local host, token, generation, lease_ms, expiry_ms = me[1], me[2], me[3], me[4], me[5]

local function touch(name) call('PEXPIRE', prefix .. name, expiry_ms) end

local function touch_edge(edge)
    touch('edge:' .. edge) touch('seen:' .. edge) touch('state:' .. edge)
end

local function touch_all(hosts)
    for _, name in ipairs({'meta', 'edges', 'snapshots'}) do touch(name) end
    for _, each in ipairs(hosts) do
        touch('host:' .. each) touch('inbox:' .. each) touch('progress:' .. each)
    end
end

local function wake(who, what)
    if who then
        local list = prefix .. 'wake:' .. who
        call('RPUSH', list, what)
        call('PEXPIRE', list, 60000)
    end
end

-- Lua's stack does not hold all of a long list at once.
local function in_slices(command, key, group, list)
    local sum = 0
    for first = 1, #list, 1000 do
        local last = math.min(first + 999, #list)
        if group then
            sum = sum + call(command, key, group, unpack(list, first, last))
        else
            sum = sum + call(command, key, unpack(list, first, last))
        end
    end
    return sum
end

local function hosts_of_run()
    local names = call('HGET', prefix .. 'meta', 'hosts')
    return names and cjson.decode(names) or {}
end

local function delete_all()
    local hosts = hosts_of_run()
    for _, edge in ipairs(call('SMEMBERS', prefix .. 'edges')) do
        call('UNLINK', prefix .. 'edge:' .. edge, prefix .. 'seen:' .. edge, prefix .. 'state:' .. edge)
    end
    for _, each in ipairs(hosts) do
        local last = call('HGET', prefix .. 'host:' .. each, 'token')
        if last then call('UNLINK', prefix .. 'wake:' .. last) end
        call('UNLINK', prefix .. 'host:' .. each, prefix .. 'lease:' .. each, prefix .. 'inbox:' .. each,
             prefix .. 'progress:' .. each, prefix .. 'free:' .. each)
    end
    call('UNLINK', prefix .. 'meta', prefix .. 'edges', prefix .. 'snapshots')
end

-- Whose turn it is: 'ok' and the number of the last write, 'fenced', or 'behind' when Redis forgot this process.
local function standing()
    local known = call('HMGET', prefix .. 'host:' .. host, 'generation', 'token', 'last')
    local current = tonumber(known[1] or 0)
    if current < generation then return 'behind', -1 end
    if current > generation or known[2] ~= token then return 'fenced', 0 end
    local holder = call('GET', prefix .. 'lease:' .. host)
    if holder and holder ~= token then return 'fenced', 0 end
    return 'ok', tonumber(known[3] or 0)
end
"""

APPLY = (
    _COMMON
    + """
local first, writes = me[6], me[7]
local deleted, left = false, false
local handlers = {}

-- Sending in order, up to the capacity; what was sent before and is not forgotten counts as sent, and is not.
function handlers.send(write)
    local edge, capacity, forced, ids, bodies = write[2], write[3], write[4], write[5], write[6]
    local stream = prefix .. 'edge:' .. edge
    local seen, state = prefix .. 'seen:' .. edge, prefix .. 'state:' .. edge
    local known = call('SMISMEMBER', seen, unpack(ids))
    local marks = call('HMGET', state, 'reader', 'end')
    local room = forced and #ids or capacity - call('XLEN', stream) + (marks[2] and 1 or 0)
    local fresh, twice, taken = {}, {}, 0
    for i, id in ipairs(ids) do
        if known[i] == 0 and not twice[id] then
            if room <= 0 then break end
            if marks[2] then
                -- The end that an earlier process of the sender wrote was not the end.
                call('XACK', stream, 'parts', marks[2])
                call('XDEL', stream, marks[2])
                call('HDEL', state, 'end')
                marks[2] = false
            end
            call('XADD', stream, '*', 'i', id, 'b', bodies[i])
            fresh[#fresh + 1], twice[id], room = id, true, room - 1
        end
        taken = i
    end
    if #fresh > 0 then
        call('SADD', seen, unpack(fresh))
        if marks[1] then
            call('HDEL', state, 'reader')
            wake(marks[1], 'items:' .. edge)
        end
    end
    if taken < #ids then call('HSET', state, 'writer', token) end
    touch_edge(edge)
    return taken
end

function handlers.close(write)
    local stream = prefix .. 'edge:' .. write[2]
    local state = prefix .. 'state:' .. write[2]
    if call('HEXISTS', state, 'end') == 0 then
        call('HSET', state, 'end', call('XADD', stream, '*', 'e', '1'))
        local reader = call('HGET', state, 'reader')
        call('HDEL', state, 'reader')
        wake(reader, 'items:' .. write[2])
    end
    touch_edge(write[2])
    return 1
end

-- An acknowledged item that is not there was forgotten by Redis, and will be sent once more: it counts as sent.
local function acknowledge(edge, tokens, ids)
    local stream, state = prefix .. 'edge:' .. edge, prefix .. 'state:' .. edge
    local absent = 0
    if ids then
        for i, each in ipairs(tokens) do
            call('XACK', stream, 'parts', each)
            if call('XDEL', stream, each) == 0 then call('SADD', prefix .. 'seen:' .. edge, ids[i]) end
        end
    else
        in_slices('XACK', stream, 'parts', tokens)
        absent = #tokens - in_slices('XDEL', stream, nil, tokens)
    end
    local writer = call('HGET', state, 'writer')
    if writer then
        call('HDEL', state, 'writer')
        wake(writer, 'room:' .. edge)
    end
    touch_edge(edge)
    return absent
end

function handlers.settle(write, again)
    if again then return 0 end
    local absent = 0
    for _, each in ipairs(write[2]) do absent = absent + acknowledge(each[1], each[2], each[3]) end
    for _, each in ipairs(write[3]) do call('HSET', prefix .. 'progress:' .. host, each[1], each[2]) end
    if #write[3] > 0 then touch('progress:' .. host) end
    for _, each in ipairs(write[4]) do in_slices('SREM', prefix .. 'seen:' .. each[1], nil, each[2]) end
    return absent
end

-- Ids of acknowledged items that may be sent once more.
function handlers.count_as_sent(write)
    for _, each in ipairs(write[2]) do
        in_slices('SADD', prefix .. 'seen:' .. each[1], nil, each[2])
        touch_edge(each[1])
    end
    return 1
end

function handlers.tell(write, again, number)
    if again then return 1 end
    call('XADD', prefix .. 'inbox:' .. write[2], '*', 'f', host, 'g', generation, 'n', number, 'b', write[3])
    touch('inbox:' .. write[2])
    wake(call('GET', prefix .. 'lease:' .. write[2]), 'inbox')
    return 1
end

function handlers.publish(write)
    local now = call('TIME')
    call('HSET', prefix .. 'snapshots', host, packed({now[1] * 1000 + math.floor(now[2] / 1000), write[2]}))
    touch('snapshots')
    return 1
end

function handlers.fail(write)
    call('HSETNX', prefix .. 'meta', 'failed', write[2])
    for _, each in ipairs(hosts_of_run()) do wake(call('GET', prefix .. 'lease:' .. each), 'failed') end
    return 1
end

function handlers.open(write)
    call('SADD', prefix .. 'edges', write[2])
    local stream = prefix .. 'edge:' .. write[2]
    local made = redis.pcall('XGROUP', 'CREATE', stream, 'parts', '0', 'MKSTREAM')
    if made.err and not string.find(made.err, 'BUSYGROUP') then error(made.err, 0) end
    touch('edges')
    touch_edge(write[2])
    return 1
end

function handlers.renew(write)
    for _, edge in ipairs(write[2]) do touch_edge(edge) end
    touch_all(hosts_of_run())
    return call('HEXISTS', prefix .. 'meta', 'failed')
end

function handlers.leave(write)
    left = true
    if write[2] then
        call('HSET', prefix .. 'meta', 'done:' .. host, '1')
        deleted = true
        for _, each in ipairs(hosts_of_run()) do
            deleted = deleted and call('HEXISTS', prefix .. 'meta', 'done:' .. each) == 1
        end
    end
    return deleted and 1 or 0
end

local state, last = standing()
if state ~= 'ok' then return packed({state, last}) end
call('SET', prefix .. 'lease:' .. host, token, 'PX', lease_ms)
local results = {}
for i, write in ipairs(writes) do
    local number = first + i - 1
    if number > last + 1 then return packed({'behind', last}) end
    -- A write that fails is done: its caller is told, and the others go on.
    local fine, result = pcall(handlers[write[1]], write, number <= last, number)
    if not fine and type(result) == 'table' then result = result.err end
    results[i] = {fine, result}
    last = math.max(last, number)
end
if deleted then
    delete_all()
else
    call('HSET', prefix .. 'host:' .. host, 'last', last)
    touch('host:' .. host)
end
if left then
    call('DEL', prefix .. 'lease:' .. host)
    if not deleted then
        call('RPUSH', prefix .. 'free:' .. host, 'x')
        call('PEXPIRE', prefix .. 'free:' .. host, 10000)
    end
end
return packed({'ok', results})
"""
)

ASK = (
    _COMMON
    + """
local what = me[6]
local handlers = {}

-- The next items for this host: at first those it was given before and did not acknowledge, then new ones.
function handlers.read()
    local edge, cursor, count = me[7], me[8], me[9]
    local stream = prefix .. 'edge:' .. edge
    local got = call('XREADGROUP', 'GROUP', 'parts', host, 'COUNT', count, 'STREAMS', stream, cursor)
    local tokens, ids, bodies, gone = {}, {}, {}, {}
    local rows = got and got[1][2] or {}
    for _, row in ipairs(rows) do
        local fields = row[2]
        if not fields then
            gone[#gone + 1] = row[1]
        elseif fields[1] == 'i' then
            local n = #tokens + 1
            tokens[n], ids[n], bodies[n] = row[1], fields[2], fields[4]
        end
    end
    local last = #rows > 0 and rows[#rows][1]
    local ended = false
    if not last and cursor == '>' then
        -- Whatever is in the stream was given to this host, the end marker too, if there is one.
        ended = call('HEXISTS', prefix .. 'state:' .. edge, 'end') == 1
        if not ended then
            call('HSET', prefix .. 'state:' .. edge, 'reader', token)
            touch('state:' .. edge)
        end
    end
    return {last, tokens, ids, bodies, gone, ended}
end

-- The oldest messages to this host; those that were handed out before go away.
function handlers.inbox()
    local inbox = prefix .. 'inbox:' .. host
    if #me[7] > 0 then in_slices('XDEL', inbox, nil, me[7]) end
    local places, messages = {}, {}
    for i, row in ipairs(call('XRANGE', inbox, '-', '+', 'COUNT', 100)) do
        places[i], messages[i] = row[1], row[2]
    end
    return {places, messages}
end

function handlers.snapshots()
    local now = call('TIME')
    return {now[1] * 1000 + math.floor(now[2] / 1000), call('HGETALL', prefix .. 'snapshots')}
end

function handlers.progress()
    return call('HGET', prefix .. 'progress:' .. host, me[7]) or '0'
end

function handlers.failed()
    return call('HGET', prefix .. 'meta', 'failed')
end

local state = standing()
if state ~= 'ok' then return packed({state, -1}) end
return packed({'ok', handlers[what]()})
"""
)

JOIN = (
    _COMMON
    + """
local digest, version, names, born, expected, retaken = me[6], me[7], me[8], me[9], me[10], me[11]
local meta = prefix .. 'meta'

local known = call('HMGET', meta, 'digest', 'version', 'hosts', 'born', 'done:' .. host, 'failed')
if not known[4] then
    -- A standby that saw the run sees now that all parts are done, and its keys deleted.
    if expected ~= '' then return packed({'over'}) end
    call('HSET', meta, 'digest', digest, 'version', version, 'hosts', names, 'born', born)
elseif known[1] ~= digest or known[2] ~= version or known[3] ~= names then
    return packed({'mismatch', known[1], known[2], known[3]})
elseif expected ~= '' and known[4] ~= expected then
    return packed({'over'})
end
born = known[4] or born
if known[5] then return packed({'finished', known[6]}) end

local lease, entry = prefix .. 'lease:' .. host, prefix .. 'host:' .. host
local holder = call('GET', lease)
local last = call('HMGET', entry, 'generation', 'token')
local current = tonumber(last[1] or 0)
if retaken then
    -- Redis forgot that this process had joined; unless somebody did since, it has.
    if current > generation or (current == generation and last[2] ~= token) then return packed({'fenced'}) end
    current = generation
elseif holder and holder ~= token then
    return packed({'busy', call('PTTL', lease), born})
elseif last[2] ~= token then
    current = current + 1
end
call('SET', lease, token, 'PX', lease_ms)
if last[2] ~= token then
    if last[2] then call('UNLINK', prefix .. 'wake:' .. last[2]) end
    call('HSET', entry, 'generation', current, 'token', token, 'last', 0)
end
call('DEL', prefix .. 'free:' .. host)
touch_all(cjson.decode(names))
return packed({'joined', current, born, known[6]})
"""
)

PURGE = _COMMON + "delete_all() return packed({'ok'})"
