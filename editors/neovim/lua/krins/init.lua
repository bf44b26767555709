-- The journey of a task: asked, followed, shown, applied or discarded, undone. Each public function is one command's action and takes
-- what `nvim_create_user_command` hands over, or nothing.
local client = require('krins.client')
local view = require('krins.view')

local M = {}

--- By task id: { intent, state, seq, diff? }.
local tasks = {}
--- Task ids, oldest first.
local order = {}
--- What was asked in this session, newest first.
local asked = {}

local running = { queued = true, context = true, asking = true, gating = true }
local words = { queued = 'waiting', context = 'choosing the code to send', asking = 'asking', gating = 'checking the answer' }

function M.setup(options)
  client.setup(options)
end

local function say(text, level)
  vim.notify('krins: ' .. text, level or vim.log.levels.INFO)
end

local function plural(count, word)
  return ('%d %s%s'):format(count, word, count == 1 and '' or 's')
end

--- The task of a command: the one that is named, else the newest that `wanted` holds for.
local function pick(call, wanted)
  local named = call and call.args ~= '' and call.args or nil
  if named then
    return named
  end
  for index = #order, 1, -1 do
    if wanted(tasks[order[index]]) then
      return order[index]
    end
  end
end

--- Params that name a task; without one the server takes the newest. An empty Lua table would be sent as a list.
local function naming(task)
  return task and { task = task } or vim.empty_dict()
end

local function track(task, intent)
  if not tasks[task] then
    tasks[task] = { intent = intent, state = 'queued', seq = -1 }
    order[#order + 1] = task
  end
  return tasks[task]
end

local function forget(task)
  tasks[task] = nil
  order = vim.tbl_filter(function(known)
    return known ~= task
  end, order)
  view.close(task)
end

--- A selection in the server's units: whole lines, or to the column after a characterwise selection of just these lines.
local function selection(call)
  if not call or call.range == 0 then
    return nil
  end
  local first, last = vim.fn.getpos("'<"), vim.fn.getpos("'>")
  local charwise = vim.fn.visualmode() == 'v' and first[2] == call.line1 and last[2] == call.line2
  if not charwise then
    return { start = { line = call.line1 - 1, character = 0 }, ['end'] = { line = call.line2, character = 0 } }
  end
  local encoding = client.get() and client.get().offset_encoding or 'utf-16'
  return vim.lsp.util.make_given_range_params({ first[2], first[3] - 1 }, { last[2], last[3] - 1 }, 0, encoding).range
end

local function params(call, intent)
  local asked_for = { intent = intent }
  if vim.bo.buftype == '' and vim.api.nvim_buf_get_name(0) ~= '' then
    asked_for.textDocument = vim.lsp.util.make_text_document_params()
    asked_for.selection = selection(call)
  end
  return asked_for
end

local function with_intent(call, prompt, continue)
  local given = call and vim.trim(call.args) or ''
  local function go(intent)
    if not intent or vim.trim(intent) == '' then
      return
    end
    asked = vim.tbl_filter(function(known)
      return known ~= intent
    end, asked)
    table.insert(asked, 1, intent)
    continue(intent)
  end
  if given ~= '' then
    go(given)
  else
    vim.ui.input({ prompt = prompt }, go)
  end
end

local show
function show(task)
  local entry = tasks[task]
  local diff = entry.diff
  view.diff(diff, entry.intent, {
    apply = function()
      M.apply({ args = '', task = task })
    end,
    discard = function()
      M.discard({ args = task })
    end,
    review = function(hunk, verdict, done)
      client.request('krins/review', { task = task, hunk = hunk, verdict = verdict }, function(changed)
        entry.diff = changed
        done(changed)
      end)
    end,
    edit = function(hunk, text)
      client.request('krins/review', { task = task, hunk = hunk, verdict = 'edit', text = text }, function(changed)
        entry.diff = changed
        show(task)
      end)
    end,
  })
  local blocked = diff.gate.verdict == 'block'
  for _, finding in ipairs(diff.gate.findings) do
    say(('%s %s: %s'):format(finding.rule, finding.path, finding.message), vim.log.levels.WARN)
  end
  say(('%s by %s%s'):format(plural(#diff.files, 'file'), diff.model, blocked and ', blocked by the gate' or ''))
end

--- Waits for the answer of a task that is at work, then shows it.
local function follow(task)
  local entry = tasks[task]
  if entry.followed then
    return
  end
  entry.followed = true
  client.request('krins/diff', { task = task, wait = true }, function(diff)
    if not tasks[task] then
      return
    end
    entry.diff, entry.state, entry.followed = diff, diff.state, false
    if client.options().open then
      show(task)
    else
      say(('%q is ready: :KrinsDiff'):format(entry.intent))
    end
  end, function()
    forget(task)
  end)
end

--- :Krins {intent}
function M.assign(call)
  with_intent(call, 'Krins: what should be changed? ', function(intent)
    local task = ('nvim-%d-%d'):format(vim.fn.getpid(), (vim.uv or vim.loop).hrtime())
    local request = vim.tbl_extend('force', params(call, intent), { task = task, workDoneToken = task })
    track(task, intent)
    client.request('krins/assign', request, function()
      follow(task)
    end, function()
      forget(task)
    end)
  end)
end

--- :KrinsContext {intent}
function M.context(call)
  with_intent(call, 'Krins: what would be changed? ', function(intent)
    client.request('krins/context', params(call, intent), function(context)
      view.context(context, intent)
    end)
  end)
end

--- :KrinsDiff
function M.diff(call)
  local task = pick(call, function(entry)
    return entry.diff ~= nil
  end)
  if task and tasks[task] and tasks[task].diff then
    show(task)
    return
  end
  client.request('krins/diff', naming(task), function(diff)
    track(diff.task, 'proposal').diff = diff
    show(diff.task)
  end)
end

local function tell(done, result)
  if #result.conflicts > 0 then
    local items = vim.tbl_map(function(conflict)
      local start = conflict.range.start
      return { filename = vim.uri_to_fname(conflict.uri), lnum = start.line + 1, col = start.character + 1, text = 'changed in another way' }
    end, result.conflicts)
    vim.fn.setqflist({}, ' ', { title = 'krins: conflicts', items = items })
    say(('nothing was %s: %s (:copen)'):format(done, plural(#items, 'conflict')), vim.log.levels.WARN)
    return false
  end
  for _, file in ipairs(result.leftAlone or {}) do
    local kept = type(file.kept) == 'string' and ('; its new content is in ' .. file.kept) or ''
    say(('left as it was, because it changed meanwhile: %s%s'):format(vim.uri_to_fname(file.uri), kept), vim.log.levels.WARN)
  end
  -- Files that were not open here were written on disk.
  vim.cmd('silent! checktime')
  local unsaved = #result.unsaved > 0 and (', %d not saved (:wall)'):format(#result.unsaved) or ''
  say(('%s %s%s'):format(plural(#result.applied, 'file'), done, unsaved))
  return true
end

--- Applies { task?, hunks? }, as the request takes it.
function M.apply_task(wish)
  client.request('krins/apply', next(wish) and wish or vim.empty_dict(), function(result)
    if tell('changed', result) and wish.task then
      forget(wish.task)
    end
  end)
end

--- :KrinsApply [hunk …]
function M.apply(call)
  local task = call and call.task or pick(nil, function(entry)
    return entry.diff ~= nil
  end)
  local hunks = call and vim.split(call.args, '%s+', { trimempty = true }) or {}
  M.apply_task({ task = task, hunks = #hunks > 0 and hunks or nil })
end

--- :KrinsDiscard
function M.discard(call)
  local task = pick(call, function(entry)
    return entry.diff ~= nil
  end)
  client.request('krins/discard', naming(task), function(result)
    forget(result.task)
    say('discarded; nothing was written')
  end)
end

--- :KrinsCancel
function M.cancel(call)
  local task = pick(call, function(entry)
    return running[entry.state]
  end)
  client.request('krins/cancel', naming(task), function(result)
    forget(result.task)
    say('cancelled; nothing was written')
  end)
end

--- :KrinsUndo [id]
function M.undo(call)
  client.request('krins/undo', call and call.args ~= '' and { undo = call.args } or vim.empty_dict(), function(result)
    tell('undone', result)
  end)
end

--- :KrinsRedo [id]
function M.redo(call)
  client.request('krins/redo', call and call.args ~= '' and { undo = call.args } or vim.empty_dict(), function(result)
    tell('done again', result)
  end)
end

--- :KrinsStatus
function M.status()
  client.request('krins/status', nil, function(status)
    local index = status.index
    local read = index.ready and ('%d files, %d symbols'):format(index.files, index.symbols) or 'reading the workspace'
    say(('%s, %s/%s, %s, cache %d of %d'):format(status.version, status.provider, status.model, read, status.cacheHits, status.cacheHits + status.cacheMisses))
  end)
end

--- The server's word about a task, also one that a comment's code action began.
function M.on_change(status)
  local known = tasks[status.task]
  if not known and not running[status.state] then
    return
  end
  local entry = track(status.task, status.intent)
  if status.seq <= entry.seq then
    return
  end
  entry.seq, entry.state = status.seq, status.state
  if running[status.state] then
    vim.api.nvim_echo({ { 'krins: ' .. (status.progress or words[status.state]) } }, false, {})
    if not known then
      follow(status.task)
    end
  elseif status.state == 'applied' or status.state == 'discarded' then
    forget(status.task)
  end
end

--- For a status line: what is at work and what waits, or an empty string.
function M.statusline()
  local at_work, waiting = 0, 0
  for _, task in ipairs(order) do
    if running[tasks[task].state] then
      at_work = at_work + 1
    elseif tasks[task].diff then
      waiting = waiting + 1
    end
  end
  local parts = {}
  if at_work > 0 then
    parts[#parts + 1] = plural(at_work, 'task') .. ' at work'
  end
  if waiting > 0 then
    parts[#parts + 1] = plural(waiting, 'proposal')
  end
  return #parts > 0 and 'krins: ' .. table.concat(parts, ', ') or ''
end

function M.history()
  return vim.deepcopy(asked)
end

function M.task_ids()
  return vim.deepcopy(order)
end

function M.hunk_ids()
  local task = pick(nil, function(entry)
    return entry.diff ~= nil
  end)
  return task and vim.tbl_map(function(hunk)
    return hunk.id
  end, view.hunks(tasks[task].diff)) or {}
end

return M
