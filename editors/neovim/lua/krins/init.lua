-- The journey of a task: asked, followed, shown, applied or discarded, undone. Each public function is one action; it takes a table of
-- what was said with it, or nothing.
local client = require('krins.client')
local report = require('krins.report')
local review = require('krins.review')
local signs = require('krins.signs')
local tasks = require('krins.tasks')
local view = require('krins.view')
local windows = require('krins.windows')

local M = {}

local words = { queued = 'waiting', context = 'choosing the code to send', asking = 'asking', gating = 'checking the answer' }

function M.setup(options)
  client.setup(options)
end

local function say(text, level)
  vim.notify('krins: ' .. text, level or vim.log.levels.INFO)
end

local function warn(text)
  say(text, vim.log.levels.WARN)
end

local function plural(count, word)
  return ('%d %s%s'):format(count, word, count == 1 and '' or 's')
end

--- For status lines: something about a task is different now.
local function changed()
  vim.api.nvim_exec_autocmds('User', { pattern = 'KrinsChanged', modeline = false })
  vim.cmd('redrawstatus')
end

--- Params that name a task; without one the server takes the newest. An empty Lua table would be sent as a list.
local function naming(task)
  return task and { task = task } or vim.empty_dict()
end

local function forget(task)
  tasks.forget(task)
  if signs.task() == task then
    signs.show(nil)
  end
  if review.is_open(task) then
    review.close()
  end
  windows.close(task)
  changed()
end

--- What is asked for from the buffer that is shown: the file, and the selection in the server's units.
local function here(wish)
  if vim.bo.buftype ~= '' or vim.api.nvim_buf_get_name(0) == '' then
    return {}
  end
  local params = { textDocument = vim.lsp.util.make_text_document_params() }
  local range = wish.range
  if not range then
    return params
  end
  local first, last = vim.fn.getpos("'<"), vim.fn.getpos("'>")
  local charwise = vim.fn.visualmode() == 'v' and first[2] == range[1] and last[2] == range[2]
  if charwise then
    local encoding = client.get() and client.get().offset_encoding or 'utf-16'
    params.selection = vim.lsp.util.make_given_range_params({ first[2], first[3] - 1 }, { last[2], last[3] - 1 }, 0, encoding).range
  else
    params.selection = { start = { line = range[1] - 1, character = 0 }, ['end'] = { line = range[2], character = 0 } }
  end
  return params
end

local function with_intent(wish, prompt, continue)
  local function go(intent)
    intent = intent and vim.trim(intent) or ''
    if intent ~= '' then
      tasks.remember(intent)
      continue(intent)
    end
  end
  if wish.intent and vim.trim(wish.intent) ~= '' then
    go(wish.intent)
  else
    vim.ui.input({ prompt = prompt }, go)
  end
end

--- The server's new word about a proposal: every view of it shows that.
local function renew(task, diff)
  local entry = tasks.get(task)
  if not entry then
    return
  end
  entry.diff, entry.state = diff, diff.state
  if signs.task() == task then
    signs.show(diff)
  end
  review.update(diff)
  if view.shown(task) then
    local window = vim.api.nvim_get_current_win()
    M.diff({ task = task })
    if vim.api.nvim_win_is_valid(window) then
      vim.api.nvim_set_current_win(window)
    end
  end
  changed()
end

local function judge(wish, verdict, text)
  local task, hunk = wish.task, wish.hunk
  if not hunk then
    task, hunk = windows.hunk_under_cursor()
    if not hunk then
      task, hunk = signs.hunk_under_cursor()
    end
  end
  task = task or tasks.proposed()
  if not hunk then
    warn('no hunk is under the cursor; name one, such as h1')
    return
  end
  client.request('krins/review', { task = task, hunk = hunk, verdict = verdict, text = text }, function(diff, from)
    tasks.track(diff.task, 'proposal', from)
    renew(diff.task, diff)
    if diff.state == 'blocked' then
      warn('the gate blocks the change as it is now (:Krins gate)')
    end
  end)
end

--- The hunk that a command means: its task and what is known of it.
local function meant(wish)
  local task, id = wish.task, wish.hunk
  if not id then
    task, id = windows.hunk_under_cursor()
    if not id then
      task, id = signs.hunk_under_cursor()
    end
  end
  task = task or tasks.proposed()
  local entry = task and tasks.get(task)
  local hunk = id and entry and entry.diff and tasks.hunk(entry.diff, id)
  if not hunk then
    warn(id and ('there is no hunk %s'):format(id) or 'no hunk is under the cursor; name one, such as h1')
  end
  return hunk and task, hunk
end

function M.accept(wish)
  judge(wish or {}, 'accept')
end

--- Rejects a hunk; one that is rejected already is open again.
function M.reject(wish)
  local task, hunk = meant(wish or {})
  if hunk then
    judge({ task = task, hunk = hunk.id }, hunk.verdict == 'reject' and 'open' or 'reject')
  end
end

function M.reopen(wish)
  judge(wish or {}, 'open')
end

--- Opens a hunk's new lines; what is written is what will be applied.
function M.edit(wish)
  local task, hunk = meant(wish or {})
  if hunk and #hunk.lines > 0 then
    windows.edit(task, hunk, function(id, text)
      judge({ task = task, hunk = id }, 'edit', text)
    end)
  end
end

--- Shows the hunk at the cursor in a small window.
function M.hunk(wish)
  local _, hunk = meant(wish or {})
  if hunk then
    local lines = vim.list_extend({ ('%s  %s  %s'):format(hunk.header, hunk.id, tasks.verdict(hunk)) }, windows.without_returns(hunk.lines))
    vim.lsp.util.open_floating_preview(lines, 'diff', { focus_id = 'krins', border = 'rounded' })
  end
end

--- Moves to the next (1) or previous (-1) hunk of the proposal in this file.
function M.jump(step)
  if not signs.jump(step) then
    say(step > 0 and 'no hunk below' or 'no hunk above')
  end
end

local function actions(task)
  return {
    accept = function()
      M.accept()
    end,
    reject = function()
      M.reject()
    end,
    edit = function()
      M.edit()
    end,
    side_by_side = function()
      local _, hunk = windows.hunk_under_cursor()
      M.review({ task = task, hunk = hunk })
    end,
    apply = function()
      M.apply({ task = task })
    end,
    discard = function()
      M.discard({ task = task })
    end,
  }
end

local function announce(diff)
  for _, finding in ipairs(diff.gate.findings) do
    warn(('%s %s: %s'):format(finding.rule, finding.path, finding.message))
  end
  local blocked = diff.gate.verdict == 'block'
  local degraded = diff.degraded and ('; ' .. diff.degraded) or ''
  say(('%s by %s%s%s'):format(plural(#diff.files, 'file'), diff.model, blocked and ', blocked by the gate' or '', degraded))
end

--- Runs with the proposal of a task: the one that is known, else the server's.
local function with_diff(task, continue)
  local known = task or tasks.proposed()
  local entry = known and tasks.get(known)
  if entry and entry.diff then
    continue(entry.diff, entry)
    return
  end
  client.request('krins/diff', naming(task), function(diff, from)
    local found = tasks.track(diff.task, 'proposal', from)
    found.diff, found.state = diff, diff.state
    continue(diff, found)
    if client.options().signs then
      signs.show(diff)
    end
  end)
end

--- Shows the proposal as one diff.
function M.diff(wish)
  with_diff(wish and wish.task, function(diff, entry)
    view.diff(diff, entry.intent, actions(diff.task))
  end)
end

--- Shows the proposal side by side, file after file.
function M.review(wish)
  with_diff(wish and wish.task, function(diff)
    if not review.open(diff, actions(diff.task), wish and wish.hunk) then
      warn('a file has changed since the proposal, so that it cannot be shown side by side')
      M.diff({ task = diff.task })
    end
  end)
end

--- Waits for the answer of a task that is at work, then shows it.
local function follow(task)
  local entry = tasks.get(task)
  if entry.followed then
    return
  end
  entry.followed = true
  client.request('krins/diff', { task = task, wait = true }, function(diff)
    if not tasks.get(task) then
      return
    end
    entry.diff, entry.state, entry.followed = diff, diff.state, false
    if client.options().signs then
      signs.show(diff)
    end
    local open = client.options().open
    if open then
      (open == 'review' and M.review or M.diff)({ task = task })
      announce(diff)
    else
      say(('%q is ready: :Krins diff'):format(entry.intent))
    end
    changed()
  end, function()
    forget(task)
  end)
end

--- Asks for a change: { intent?, range?, options? }; options are params of `krins/assign`.
function M.assign(wish)
  wish = wish or {}
  local asked_here = here(wish)
  with_intent(wish, 'Krins: what should be changed? ', function(intent)
    local task = ('nvim-%d-%d'):format(vim.fn.getpid(), (vim.uv or vim.loop).hrtime())
    local request = vim.tbl_extend('force', asked_here, wish.options or {}, { intent = intent, task = task, workDoneToken = task })
    local server = client.get()
    tasks.track(task, intent, server and server.id)
    changed()
    client.request('krins/assign', request, function()
      follow(task)
    end, function()
      forget(task)
    end)
  end)
end

--- Shows what would be sent, and what it would cost; nothing is sent.
function M.context(wish)
  wish = wish or {}
  local asked_here = here(wish)
  with_intent(wish, 'Krins: what would be changed? ', function(intent)
    local request = vim.tbl_extend('force', asked_here, wish.options or {}, { intent = intent })
    client.request('krins/context', request, function(context)
      report.context(context, intent)
    end)
  end)
end

local function tell(done, result)
  if #result.conflicts > 0 then
    local items = vim.tbl_map(function(conflict)
      local start = conflict.range.start
      local hunks = table.concat(conflict.hunks or {}, ', ')
      return { filename = vim.uri_to_fname(conflict.uri), lnum = start.line + 1, col = start.character + 1, text = 'changed in another way' .. (hunks ~= '' and ': ' .. hunks or '') }
    end, result.conflicts)
    vim.fn.setqflist({}, ' ', { title = 'krins: conflicts', items = items })
    warn(('nothing was %s: %s (:copen)'):format(done, plural(#items, 'conflict')))
    return false
  end
  for _, file in ipairs(result.leftAlone or {}) do
    local kept = type(file.kept) == 'string' and ('; its new content is in ' .. file.kept) or ''
    warn(('left as it was, because it changed meanwhile: %s%s'):format(vim.uri_to_fname(file.uri), kept))
  end
  -- Files that were not open here were written on disk.
  vim.cmd('silent! checktime')
  local unsaved = #result.unsaved > 0 and (', %d not saved (:wall)'):format(#result.unsaved) or ''
  say(('%s %s%s'):format(plural(#result.applied, 'file'), done, unsaved))
  return true
end

--- Applies { task?, hunks?, onConflict?, dryRun? }, as the request takes it.
function M.apply(wish)
  local request = vim.deepcopy(wish or {})
  request.task = request.task or tasks.proposed()
  client.request('krins/apply', next(request) and request or vim.empty_dict(), function(result)
    local whole = not request.hunks and not request.dryRun
    if request.dryRun then
      say(('%s would change'):format(plural(#result.applied, 'file')))
    elseif tell('changed', result) and whole and request.task then
      forget(request.task)
    end
  end)
end

function M.discard(wish)
  client.request('krins/discard', naming(wish and wish.task or tasks.proposed()), function(result)
    forget(result.task)
    say('discarded; nothing was written')
  end)
end

function M.cancel(wish)
  client.request('krins/cancel', naming(wish and wish.task or tasks.at_work()), function(result)
    forget(result.task)
    say('cancelled; nothing was written')
  end)
end

--- Takes back { undo?, hunks? }.
function M.undo(wish)
  client.request('krins/undo', wish and next(wish) and wish or vim.empty_dict(), function(result)
    tell('undone', result)
  end)
end

function M.redo(wish)
  client.request('krins/redo', wish and next(wish) and wish or vim.empty_dict(), function(result)
    tell('done again', result)
  end)
end

--- Judges a task's change as the files are now; findings go to the quickfix list.
function M.gate(wish)
  local task = wish and wish.task or tasks.proposed()
  client.request('krins/gate', naming(task), function(result)
    local entry = task and tasks.get(task)
    if #result.findings > 0 then
      vim.fn.setqflist({}, ' ', { title = 'krins: the gate', items = report.findings(result, client.root()) })
    end
    report.gate(result, entry and entry.intent or 'the newest task')
  end)
end

--- Asks the model again with what the gate found: { task?, rounds? }.
function M.fix(wish)
  local request = vim.deepcopy(wish or {})
  request.task = request.task or tasks.proposed()
  client.request('krins/fix', next(request) and request or vim.empty_dict(), function(assigned, from)
    local entry = tasks.track(assigned.task, 'fix', from)
    entry.diff, entry.state, entry.followed = nil, assigned.state, false
    windows.close(assigned.task)
    follow(assigned.task)
  end)
end

--- Shows another of a task's answers: { task?, variant }.
function M.variant(wish)
  local request = { task = wish.task or tasks.proposed(), variant = wish.variant }
  client.request('krins/variant', request, function(diff, from)
    tasks.track(diff.task, 'proposal', from)
    renew(diff.task, diff)
    M.diff({ task = diff.task })
  end)
end

--- Lives with a finding for a while: { task?, rule, path, expires, reason }. It is on record, and the change is judged again.
function M.waive(wish)
  local request = vim.deepcopy(wish)
  request.task = request.task or tasks.proposed()
  client.request('krins/waive', request, function(diff, from)
    tasks.track(diff.task, 'proposal', from)
    renew(diff.task, diff)
    say(('%s is waived for %s until %s'):format(wish.rule, wish.path, wish.expires))
    if diff.state == 'blocked' then
      warn('the gate blocks the change still (:Krins gate)')
    end
  end)
end

--- Lists every task of this workspace.
function M.tasks()
  client.request('krins/tasks', vim.empty_dict(), function(result)
    report.tasks(result.tasks, {
      show = function(task)
        M.diff({ task = task })
      end,
      undo = function(task)
        M.undo({ undo = task })
      end,
      cancel = function(task)
        M.cancel({ task = task })
      end,
      discard = function(task)
        M.discard({ task = task })
      end,
    })
  end)
end

--- Puts the change on a branch of its own, in a directory beside.
function M.preview(wish)
  client.request('krins/preview', naming(wish and wish.task or tasks.proposed()), function(made)
    say(('the change is on the branch %s in %s%s'):format(made.branch, made.worktree, made.url and (', ' .. made.url) or ''))
  end)
end

function M.promote(wish)
  client.request('krins/promote', naming(wish and wish.task or tasks.proposed()), function(made)
    say(('committed on %s: %s'):format(made.branch, made.commit))
  end)
end

--- Asks the code graph: { question, targets?, from?, to? }. Without a target it is about what is under the cursor.
function M.graph(wish)
  local params = { targets = wish.targets, from = wish.from, to = wish.to }
  local file = vim.bo.buftype == '' and vim.api.nvim_buf_get_name(0) ~= ''
  if not wish.targets and file and not vim.tbl_contains({ 'stats', 'cycles', 'path', 'unused' }, wish.question) then
    local position = vim.lsp.util.make_position_params(0, client.get() and client.get().offset_encoding or 'utf-16')
    params.uri = position.textDocument.uri
    params.position = wish.question ~= 'module' and wish.question ~= 'owners' and position.position or nil
  end
  client.request('krins/graph/' .. wish.question, next(params) and params or vim.empty_dict(), function(answer)
    say(report.answer(wish.question, answer, client.root()))
  end)
end

--- Holds the background's reading of the workspace, or lets it go on.
function M.index(pause)
  client.request(pause and 'krins/graph/pause' or 'krins/graph/resume', vim.empty_dict(), function()
    say(pause and 'nothing is read in the background now' or 'the workspace is read in the background again')
  end)
end

local function this_file()
  if vim.bo.buftype ~= '' or vim.api.nvim_buf_get_name(0) == '' then
    warn('this buffer is no file')
    return nil
  end
  return vim.uri_from_bufnr(0)
end

--- Tells others that somebody is at this file.
function M.lock()
  local uri = this_file()
  if uri then
    client.request('krins/lock', { uri = uri }, function(lock)
      say(('locked by %s for %d minutes'):format(lock.holder, math.ceil(lock.leftMs / 60000)))
    end)
  end
end

--- Gives this file's lock back: { force? }.
function M.unlock(wish)
  local uri = this_file()
  if uri then
    client.request('krins/unlock', { uri = uri, force = wish and wish.force or false }, function()
      say('the file is not locked any more')
    end)
  end
end

function M.locks()
  client.request('krins/locks', vim.empty_dict(), function(result)
    report.locks(result.locks)
  end)
end

function M.status()
  client.request('krins/status', vim.empty_dict(), function(status)
    local index = status.index
    local read = index.ready and ('%d files, %d symbols'):format(index.files, index.symbols) or 'reading the workspace'
    say(('%s, %s/%s, %s, cache %d of %d'):format(status.version, status.provider, status.model, read, status.cacheHits, status.cacheHits + status.cacheMisses))
    for _, route in ipairs(status.routes or {}) do
      if route.state ~= 'closed' then
        local wait = route.seconds and (', again in %d s'):format(route.seconds) or ''
        warn(('%s is %s%s%s'):format(route.route, route.state, route.cause and (': it ' .. route.cause) or '', wait))
      end
    end
    if #(status.switchedOff or {}) > 0 then
      warn('switched off: ' .. table.concat(status.switchedOff, ', '))
    end
  end)
end

--- Verifies the log of what was decided.
function M.audit()
  client.request('krins/audit/verify', vim.empty_dict(), function(result)
    if result.sound then
      say(('%s, all as they were written'):format(plural(result.records, 'record')))
      return
    end
    for _, finding in ipairs(result.findings) do
      say(('%s%s: %s'):format(finding.file, finding.line and (':' .. finding.line) or '', finding.what), vim.log.levels.ERROR)
    end
  end)
end

--- Runs any command that the server offers, with one JSON object: { command, argument? }.
function M.run(wish)
  local request = { command = wish.command, arguments = wish.argument and { wish.argument } or nil }
  client.request('workspace/executeCommand', request, function(result)
    report.value(wish.command, result)
  end)
end

--- The server's word about a task, also one that a comment's code action began.
function M.on_change(status, from)
  local known = tasks.get(status.task)
  if not known and not tasks.is_running(status.state) then
    return
  end
  local entry = tasks.track(status.task, status.intent, from)
  if status.seq <= entry.seq then
    return
  end
  entry.seq, entry.state, entry.progress = status.seq, status.state, status.progress
  if tasks.is_running(status.state) then
    vim.api.nvim_echo({ { 'krins: ' .. (status.progress or words[status.state]) } }, false, {})
    if not known then
      follow(status.task)
    end
  elseif status.state == 'applied' or status.state == 'discarded' then
    forget(status.task)
  end
  changed()
end

--- For a status line: what is at work and what waits, or an empty string.
function M.statusline()
  local at_work, waiting, blocked, doing = 0, 0, 0, nil
  for _, task in ipairs(tasks.ids()) do
    local entry = tasks.get(task)
    if tasks.is_running(entry.state) then
      at_work, doing = at_work + 1, entry.progress or words[entry.state]
    elseif entry.state == 'blocked' then
      blocked = blocked + 1
    elseif entry.diff then
      waiting = waiting + 1
    end
  end
  local parts = {}
  if at_work > 0 then
    parts[#parts + 1] = at_work == 1 and doing or plural(at_work, 'task') .. ' at work'
  end
  if waiting > 0 then
    parts[#parts + 1] = plural(waiting, 'proposal')
  end
  if blocked > 0 then
    parts[#parts + 1] = blocked .. ' blocked'
  end
  return #parts > 0 and windows.plain('krins: ' .. table.concat(parts, ', ')) or ''
end

return M
