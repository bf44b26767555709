-- What is known about tasks: which there are, what each has proposed, which one a command means. Values only; nothing is drawn here.
local M = {}

--- By task id: { intent, state, seq, client?, progress?, diff?, followed?, variants? }; the client is the id of the server whose task it is.
local tasks = {}
--- Task ids, oldest first.
local order = {}
--- Tasks that are over here, oldest first: a word about one of them that comes late begins nothing anew.
local over = {}
--- How many of those are remembered.
local REMEMBERED = 200
--- What was asked in this session, newest first.
local asked = {}

local running = { queued = true, context = true, asking = true, gating = true }

function M.is_running(state)
  return running[state] == true
end

function M.get(task)
  return tasks[task]
end

function M.track(task, intent, client)
  if not tasks[task] then
    tasks[task] = { intent = intent, state = 'queued', seq = -1 }
    order[#order + 1] = task
  end
  -- Who spoke last of it: a server that was started again has another id.
  tasks[task].client = client or tasks[task].client
  return tasks[task]
end

--- Keeps what is proposed, and which hunks of it an apply has brought; gives what is known of the task then.
function M.keep(diff, client)
  local entry = M.track(diff.task, 'proposal', client)
  for _, hunk in ipairs(M.hunks(diff)) do
    hunk.applied = diff.state == 'applied' and not vim.tbl_contains(diff.left or {}, hunk.id)
  end
  entry.diff, entry.state = diff, diff.state
  return entry
end

--- Whether there is a proposal of which something is left that could be applied.
function M.is_left(entry)
  return entry.diff ~= nil and vim.iter(M.hunks(entry.diff)):any(function(hunk)
    return not hunk.applied and hunk.verdict ~= 'reject'
  end)
end

function M.is_over(task)
  return vim.tbl_contains(over, task)
end

function M.forget(task)
  if tasks[task] and not M.is_over(task) then
    over[#over + 1] = task
    if #over > REMEMBERED then
      table.remove(over, 1)
    end
  end
  tasks[task] = nil
  order = vim.tbl_filter(function(known)
    return known ~= task
  end, order)
end

--- Ids, oldest first.
function M.ids()
  return vim.deepcopy(order)
end

--- The newest task that `wanted` holds for.
function M.newest(wanted)
  for index = #order, 1, -1 do
    if wanted(tasks[order[index]]) then
      return order[index]
    end
  end
end

--- The newest task of which something could be applied, else the newest that has something to review.
function M.proposed()
  return M.newest(M.is_left) or M.newest(function(entry)
    return entry.diff ~= nil
  end)
end

--- The newest task that is at work.
function M.at_work()
  return M.newest(function(entry)
    return running[entry.state] == true
  end)
end

--- Every hunk of a proposal in the order of its patch.
function M.hunks(diff)
  local hunks = {}
  for _, file in ipairs(diff.files) do
    vim.list_extend(hunks, file.hunks)
  end
  return hunks
end

--- A hunk of a proposal by its id.
function M.hunk(diff, id)
  for _, hunk in ipairs(M.hunks(diff)) do
    if hunk.id == id then
      return hunk
    end
  end
end

--- Ids of the hunks of the newest proposal.
function M.hunk_ids()
  local task = M.proposed()
  return task and vim.tbl_map(function(hunk)
    return hunk.id
  end, M.hunks(tasks[task].diff)) or {}
end

--- The lines of the base that a hunk itself changes, without its context: first and last, 0-based. Where it only inserts, the line it
--- stands before.
function M.core(hunk)
  local at, first, last = hunk.range.start.line, nil, nil
  for _, line in ipairs(hunk.lines) do
    local mark = line:sub(1, 1)
    if mark == '-' or mark == '+' then
      first = first or at
      last = math.max(last or at, at)
    end
    if mark == '-' or mark == ' ' then
      at = at + 1
    end
  end
  return first or at, last or at
end

--- The numbers of the newest task's answers, where several were asked for.
function M.variants()
  local task = M.proposed()
  return vim.tbl_map(function(answer)
    return tostring(answer.variant)
  end, task and tasks[task].variants or {})
end

--- A word for what is decided about a hunk.
function M.verdict(hunk)
  if hunk.applied then
    return 'applied'
  end
  if hunk.verdict == 'reject' then
    return 'rejected'
  end
  if hunk.edited then
    return 'edited'
  end
  return hunk.verdict == 'accept' and 'accepted' or 'open'
end

--- The last day of a waiver, when nobody names another.
function M.waived_until()
  return os.date('%Y-%m-%d', os.time() + 30 * 86400)
end

function M.remember(intent)
  asked = vim.tbl_filter(function(known)
    return known ~= intent
  end, asked)
  table.insert(asked, 1, intent)
end

function M.history()
  return vim.deepcopy(asked)
end

return M
