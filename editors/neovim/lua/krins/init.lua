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

--- Questions that take their time, oldest first: { what, server, request }.
local jobs = {}

local function ended(job)
  jobs = vim.tbl_filter(function(other)
    return other ~= job
  end, jobs)
  changed()
end

--- A request that may take minutes: it stands in the status line, and `cancel` takes it back.
local function ask(what, method, params, done)
  local job = { what = what }
  jobs[#jobs + 1] = job
  job.server, job.request = client.request(method, params, function(...)
    -- An answer that was under way when the question was taken back is not shown.
    if vim.tbl_contains(jobs, job) then
      ended(job)
      done(...)
    end
  end, function()
    ended(job)
  end)
  vim.api.nvim_echo({ { ('krins: %s (:Krins cancel)'):format(what) } }, false, {})
  changed()
end

--- Params that name a task; without one the server takes the newest. An empty Lua table would be sent as a list.
local function naming(task)
  return task and { task = task } or vim.empty_dict()
end

--- Whether something typed for these hunks (nil: any) of a task is not taken yet, which is said then: it would be left out.
local function is_held(task, hunks)
  local untaken = vim.tbl_filter(function(hunk)
    return not hunks or vim.tbl_contains(hunks, hunk)
  end, task and windows.untaken(task) or {})
  if #untaken > 0 then
    warn(('what you typed for %s is not taken yet: :write it, or leave it with :q! (:Krins edit %s)'):format(table.concat(untaken, ', '), untaken[1]))
  end
  return #untaken > 0
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
  local untaken = windows.untaken(task)
  if #untaken > 0 then
    warn(('what you typed for %s belongs to no proposal any more, and is kept where you typed it'):format(table.concat(untaken, ', ')))
  end
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

--- The server's new word about a proposal: every view of it shows that. With the last hunk that is applied it is over.
local function renew(task, diff)
  if not tasks.get(task) then
    return
  end
  local entry = tasks.keep(diff)
  if diff.state == 'applied' and not tasks.is_left(entry) then
    forget(task)
    return
  end
  if signs.task() == task then
    signs.show(diff)
  end
  review.update(diff)
  view.update(diff)
  changed()
end

--- Says of a hunk what `krins/review` takes: { task?, hunk, verdict, text? }; `settled` hears whether that was taken.
function M.judge(wish, settled)
  client.request('krins/review', wish, function(diff, from)
    tasks.track(diff.task, 'proposal', from)
    if settled then
      settled(true)
    end
    renew(diff.task, diff)
    if diff.state == 'blocked' then
      warn('the gate blocks the change as it is now (:Krins gate)')
    end
  end, function()
    if settled then
      settled(false)
      warn(('what you wrote for %s is not taken, and kept where you wrote it (:Krins edit %s)'):format(wish.hunk, wish.hunk))
    end
  end)
end

local function judge(wish, verdict)
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
  M.judge({ task = task, hunk = hunk, verdict = verdict })
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
    windows.edit(task, hunk, function(id, text, settled)
      M.judge({ task = task, hunk = id, verdict = 'edit', text = text }, settled)
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

--- How much an apply would write.
local function size(task)
  local entry = tasks.get(task)
  local hunks = vim.tbl_filter(function(hunk)
    return hunk.verdict ~= 'reject' and not hunk.applied
  end, entry and entry.diff and tasks.hunks(entry.diff) or {})
  return plural(#hunks, 'hunk')
end

--- What the keys of a diff and of a review do. Those that decide over all of it ask first: `A` and `D` are typed in any text.
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
      if windows.sure(('Apply %s?'):format(size(task))) then
        M.apply({ task = task })
      end
    end,
    discard = function()
      if windows.sure('Discard the proposal?') then
        M.discard({ task = task })
      end
    end,
  }
end

--- One line, however much the gate found: more would wait for a key, which somebody may be typing for something else.
local function announce(diff, intent, shown)
  local findings = diff.gate.findings
  local found = findings[1] and ('; %s %s: %s'):format(findings[1].rule, findings[1].path, findings[1].message) or ''
  local more = #findings > 1 and (' and %d more'):format(#findings - 1) or ''
  local blocked = diff.gate.verdict == 'block' and ', blocked by the gate' or ''
  local degraded = diff.degraded and ('; ' .. diff.degraded) or ''
  local text = ('%q %s (:Krins diff): %s by %s%s%s%s%s'):format(intent, shown and 'is shown' or 'is ready', plural(#diff.files, 'file'), diff.model, blocked, found, more, degraded)
  say((text:gsub('%c', ' ')), #findings > 0 and vim.log.levels.WARN or nil)
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
    continue(diff, tasks.keep(diff, from))
    if client.options().signs then
      signs.show(diff)
    end
  end)
end

--- Shows the proposal as one diff.
function M.diff(wish)
  with_diff(wish and wish.task, function(diff, entry)
    view.diff(diff, entry.intent, actions(diff.task), wish and wish.quietly)
  end)
end

--- Shows the proposal side by side, file after file.
function M.review(wish)
  wish = wish or {}
  with_diff(wish.task, function(diff)
    if not review.open(diff, actions(diff.task), wish.hunk, wish.quietly) then
      warn('a file has changed since the proposal, so that it cannot be shown side by side')
      M.diff({ task = diff.task, quietly = wish.quietly })
    end
  end)
end

--- Why the change is what it is: reasons, what was sent, what it cost.
function M.why(wish)
  with_diff(wish and wish.task, function(diff, entry)
    report.why(diff, entry.intent)
  end)
end

--- Shows what came by itself: beside what the person does, never in front of it, and not while a text or a command is typed.
local function present(diff, entry)
  local open = client.options().open
  local shown = open and windows.at_rest() and pcall(open == 'review' and M.review or M.diff, { task = diff.task, quietly = true })
  announce(diff, entry.intent, shown)
end

--- Waits for the answer of a task, then shows it; or says how it failed.
local function follow(task)
  local entry = tasks.get(task)
  if entry.followed then
    return
  end
  entry.followed = true
  client.request('krins/diff', { task = task, wait = true }, function(diff, from)
    if tasks.get(task) ~= entry then
      return
    end
    entry.followed = false
    tasks.keep(diff, from)
    if client.options().signs then
      signs.show(diff)
    end
    present(diff, entry)
    changed()
  end, function()
    forget(task)
  end)
end

--- The server knows something newer of a proposal than we: a verdict from elsewhere, another answer, a waiver.
local function refetch(task)
  local entry = tasks.get(task)
  if entry.fetching then
    entry.stale = true
    return
  end
  entry.fetching, entry.stale = true, false
  client.request('krins/diff', { task = task }, function(diff)
    if tasks.get(task) ~= entry then
      return
    end
    entry.fetching = false
    if entry.stale then
      refetch(task)
    else
      renew(task, diff)
    end
  end, function(err)
    entry.fetching = false
    -- Only a server's own word has a code; one that is gone says nothing of what waits, and the next one knows it.
    if err.code then
      forget(task)
    end
  end)
end

--- Asks for a change: { intent?, range?, options? }; options are params of `krins/assign`.
function M.assign(wish)
  wish = wish or {}
  local server = client.reach()
  if not server then
    return
  end
  local asked_here = here(wish)
  with_intent(wish, 'Krins: what should be changed? ', function(intent)
    local task = ('nvim-%d-%d'):format(vim.fn.getpid(), (vim.uv or vim.loop).hrtime())
    local request = vim.tbl_extend('force', asked_here, wish.options or {}, { intent = intent, task = task, workDoneToken = task })
    tasks.track(task, intent, server.id)
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
  if not client.reach() then
    return
  end
  local asked_here = here(wish)
  with_intent(wish, 'Krins: what would be changed? ', function(intent)
    local request = vim.tbl_extend('force', asked_here, wish.options or {}, { intent = intent })
    local still_here = windows.attention()
    ask('choosing the code that would be sent', 'krins/context', request, function(context)
      report.context(context, intent, not still_here())
    end)
  end)
end

--- Puts the places in the way into the quickfix list, and says how many there are; nothing when there is none.
local function conflicts(result)
  if #result.conflicts == 0 then
    return nil
  end
  local items = vim.tbl_map(function(conflict)
    local start = conflict.range.start
    local hunks = table.concat(conflict.hunks or {}, ', ')
    return { filename = vim.uri_to_fname(conflict.uri), lnum = start.line + 1, col = start.character + 1, text = 'changed in another way' .. (hunks ~= '' and ': ' .. hunks or '') }
  end, result.conflicts)
  vim.fn.setqflist({}, ' ', { title = 'krins: conflicts', items = items })
  return plural(#items, 'conflict')
end

local function tell(done, result)
  local in_the_way = conflicts(result)
  if in_the_way then
    warn(('nothing was %s: %s (:copen)'):format(done, in_the_way))
    return false
  end
  for _, file in ipairs(result.leftAlone or {}) do
    local kept = type(file.kept) == 'string' and ('; its new content is in ' .. file.kept) or ''
    warn(('left as it was, because it changed meanwhile: %s%s'):format(vim.uri_to_fname(file.uri), kept))
  end
  -- Files that were not open here were written on disk.
  vim.cmd('silent! checktime')
  local unsaved = #result.unsaved > 0 and (', %d not saved (:wall)'):format(#result.unsaved) or ''
  if #result.applied == 0 and not result.undo then
    say('nothing to change: the files hold it already')
  else
    say(('%s %s%s'):format(plural(#result.applied, 'file'), done, unsaved))
  end
  if result.pending then
    warn(('the change is made, and something is left that the next start ends: %s'):format(result.pending))
  end
  return true
end

--- What an apply would do, which was not done.
local function tell_dry(result)
  local in_the_way = conflicts(result)
  if in_the_way then
    warn(('nothing would be changed: %s (:copen)'):format(in_the_way))
  else
    say(('%s would change'):format(plural(#result.applied, 'file')))
  end
end

--- Applies { task?, hunks?, onConflict?, dryRun? }, as the request takes it.
function M.apply(wish)
  local request = vim.deepcopy(wish or {})
  request.task = request.task or tasks.proposed()
  if not request.dryRun and is_held(request.task, request.hunks) then
    return
  end
  client.request('krins/apply', next(request) and request or vim.empty_dict(), function(result)
    if request.dryRun then
      tell_dry(result)
    elseif tell('changed', result) and request.task then
      -- The review goes on while hunks are left out.
      local go_on = request.hunks and tasks.get(request.task) and refetch or forget
      go_on(request.task)
    end
  end)
end

--- Drops a proposal; of one that is applied in part, what was left out.
function M.discard(wish)
  local task = wish and wish.task or tasks.proposed()
  if is_held(task) then
    return
  end
  client.request('krins/discard', naming(task), function(result)
    forget(result.task)
    say(result.state == 'applied' and 'the rest is dropped; what was applied stays (:Krins undo)' or 'discarded; nothing was written')
  end)
end

--- What a task is that was to be cancelled and had ended, and what can be done about it.
local ends = {
  ready = 'its change waits: :Krins diff',
  blocked = 'its change waits, and the gate blocks it: :Krins gate',
  applied = 'its change is written: :Krins undo',
}

--- Stops a task; without a name the newest that is at work, else the question that is.
function M.cancel(wish)
  local task = wish and wish.task or tasks.at_work()
  local job = jobs[#jobs]
  if not task and job then
    client.drop(job.server, job.request)
    ended(job)
    say(('stopped: %s'):format(job.what))
    return
  end
  client.request('krins/cancel', naming(task), function(result)
    if result.state == 'cancelled' then
      forget(result.task)
      say('cancelled; nothing was written')
    else
      warn(('nothing to cancel: the task is %s%s'):format(result.state, ends[result.state] and ('; ' .. ends[result.state]) or ''))
    end
  end)
end

--- The newest task of which some hunks are applied, and others not yet.
local function partly_applied()
  return tasks.newest(function(entry)
    return entry.state == 'applied' and tasks.is_left(entry)
  end)
end

--- Takes back { undo?, hunks? }.
function M.undo(wish)
  local request = vim.deepcopy(wish or {})
  local partly = request.undo or partly_applied()
  local entry = partly and tasks.get(partly)
  if request.hunks and entry then
    request.undo = partly
  end
  client.request('krins/undo', next(request) and request or vim.empty_dict(), function(result)
    if tell('undone', result) and request.hunks and entry and tasks.get(partly) == entry and entry.diff then
      refetch(partly)
    end
  end)
end

function M.redo(wish)
  client.request('krins/redo', wish and next(wish) and wish or vim.empty_dict(), function(result)
    tell('done again', result)
  end)
end

--- Findings go to the quickfix list, as files of the server that found them.
local function show_gate(result, intent, from, quietly)
  if #result.findings > 0 then
    vim.fn.setqflist({}, ' ', { title = 'krins: the gate', items = report.findings(result, client.root(from)) })
  end
  report.gate(result, intent, quietly)
end

--- Shows what the gate found when it judged a task.
function M.found(wish)
  client.request('krins/task', naming(wish.task), function(status, from)
    if status.gate then
      show_gate(status.gate, status.intent, from)
    else
      say('the gate has not judged it yet')
    end
  end)
end

--- Judges a task's change as the files are now.
function M.gate(wish)
  local task = wish and wish.task or tasks.proposed()
  local still_here = windows.attention()
  ask('the gate is at work', 'krins/gate', naming(task), function(result, from)
    local entry = task and tasks.get(task)
    show_gate(result, entry and entry.intent or 'the newest task', from, not still_here())
  end)
end

--- Asks the model again with what the gate found: { task?, rounds? }.
function M.fix(wish)
  local request = vim.deepcopy(wish or {})
  request.task = request.task or tasks.proposed()
  if is_held(request.task) then
    return
  end
  client.request('krins/fix', next(request) and request or vim.empty_dict(), function(assigned, from)
    local entry = tasks.track(assigned.task, 'fix', from)
    entry.diff, entry.state, entry.followed = nil, assigned.state, false
    if signs.task() == assigned.task then
      signs.show(nil)
    end
    if review.is_open(assigned.task) then
      review.close()
    end
    windows.close(assigned.task)
    follow(assigned.task)
  end)
end

--- Lists a task's answers, where several were asked for.
local function variants(task)
  client.request('krins/task', naming(task), function(status, from)
    local answers = status.variants or {}
    if #answers == 0 then
      say('one answer was asked for; :Krins assign ++variants=2 asks for two')
      return
    end
    tasks.track(status.task, status.intent, from).variants = answers
    report.variants(status, function(number)
      M.variant({ task = status.task, variant = number })
    end)
  end)
end

--- Shows another of a task's answers: { task?, variant }; without a number it lists them.
function M.variant(wish)
  local request = { task = wish.task or tasks.proposed(), variant = wish.variant }
  if not request.variant then
    variants(request.task)
    return
  end
  client.request('krins/variant', request, function(diff, from)
    tasks.track(diff.task, 'proposal', from)
    renew(diff.task, diff)
    M.diff({ task = diff.task })
  end)
end

--- A finding that was pointed at: why it is lived with is asked. Only while its lines read as they do, where they tell it apart: a
--- secret is told by no lines.
local function waive_here(wish)
  with_diff(wish.task, function(diff)
    local alike = vim.tbl_filter(function(finding)
      return finding.rule == wish.rule and finding.path == wish.path
    end, diff.gate.findings)
    local exact = #alike == 1 and not vim.startswith(wish.rule, 'secrets/')
    local expires = tasks.waived_until()
    vim.ui.input({ prompt = ('Krins: why is %s in %s put up with until %s? '):format(wish.rule, wish.path, expires) }, function(reason)
      if reason and vim.trim(reason) ~= '' then
        M.waive({ task = diff.task, rule = wish.rule, path = wish.path, expires = expires, reason = vim.trim(reason), exact = exact })
      end
    end)
  end)
end

--- Lives with a finding for a while: { task?, rule, path, expires, reason, exact? }; without a reason it is asked. It is on record, and
--- the change is judged again.
function M.waive(wish)
  if not wish.reason then
    waive_here(wish)
    return
  end
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

--- The list is what it shows, while it is shown; one question at a time to the server it came from, and one more when something
--- happened meanwhile.
local lister, listing, list_again = nil, false, false

--- Lists every task of this workspace.
function M.tasks()
  client.request('krins/tasks', vim.empty_dict(), function(result, from)
    lister = from
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

local function relist()
  -- Another project's server has nothing to say of it.
  if not (report.lists_tasks() and lister and vim.lsp.get_client_by_id(lister)) then
    return
  end
  if listing then
    list_again = true
    return
  end
  listing, list_again = true, false
  local function done(result)
    listing = false
    if result then
      report.retask(result.tasks)
    end
    if list_again then
      relist()
    end
  end
  client.request('krins/tasks', vim.empty_dict(), done, function()
    done(nil)
  end, lister)
end

--- Puts the change in a directory beside, on no branch yet.
function M.preview(wish)
  client.request('krins/preview', naming(wish and wish.task or tasks.proposed()), function(made)
    say(('the change is in %s%s; promoting it makes the branch %s'):format(made.worktree, made.url and (', ' .. made.url) or '', made.branch))
  end)
end

function M.promote(wish)
  client.request('krins/promote', naming(wish and wish.task or tasks.proposed()), function(made)
    local kept = made.kept and ('; what was changed in %s is not in it, and stays there'):format(made.kept) or ''
    say(('committed on %s: %s%s'):format(made.branch, made.commit, kept))
  end)
end

--- Asks the code graph: { question, targets?, from?, to? }. Without a target it is about what is under the cursor.
function M.graph(wish)
  local params = { targets = wish.targets, from = wish.from, to = wish.to }
  if not client.reach() then
    return
  end
  local file = vim.bo.buftype == '' and vim.api.nvim_buf_get_name(0) ~= ''
  if not wish.targets and file and not vim.tbl_contains({ 'stats', 'cycles', 'path', 'unused' }, wish.question) then
    local position = vim.lsp.util.make_position_params(0, client.get() and client.get().offset_encoding or 'utf-16')
    params.uri = position.textDocument.uri
    params.position = wish.question ~= 'module' and wish.question ~= 'owners' and position.position or nil
  end
  client.request('krins/graph/' .. wish.question, next(params) and params or vim.empty_dict(), function(answer, from)
    say(report.answer(wish.question, answer, client.root(from)))
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
  return client.reach() and vim.uri_from_bufnr(0)
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
    if status.spent then
      say(report.spent(status.spent))
    end
  end)
end

--- What came of tasks, and what they cost: { period? }.
function M.report(wish)
  if not client.reach() then
    return
  end
  local file = vim.bo.buftype == '' and vim.api.nvim_buf_get_name(0) ~= ''
  local params = { period = wish and wish.period, uri = file and vim.uri_from_bufnr(0) or nil }
  client.request('krins/report', next(params) and params or vim.empty_dict(), function(result)
    report.figures(result)
  end)
end

--- The same as a page in the browser, which is served while this Neovim runs: { period? }.
function M.dashboard(wish)
  if client.reach() then
    require('krins.dashboard').open(client.root(), wish and wish.period, say, warn)
  end
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

--- What is shown of a task that is at work.
local function at_work(entry, status)
  local doing = (status.progress or words[status.state]):gsub('%c', ' ')
  if doing ~= entry.echoed then
    entry.echoed = doing
    vim.api.nvim_echo({ { 'krins: ' .. doing } }, false, {})
  end
  if not entry.diff then
    follow(status.task)
  end
end

--- What is shown of a task that has ended. What is waited for comes by itself; what ended before we heard of it is asked for.
local function at_end(entry, status)
  if status.state == 'discarded' or status.state == 'cancelled' then
    forget(status.task)
  elseif entry.followed then
    return
  elseif entry.diff then
    refetch(status.task)
  elseif status.state == 'applied' then
    forget(status.task)
  else
    follow(status.task)
  end
end

--- States that a task which was never heard of is followed in: it may be over before its first word comes.
local begins = { ready = true, blocked = true, failed = true }

--- The server's word about a task, also one that something else began.
function M.on_change(status, from)
  relist()
  if not tasks.get(status.task) and not tasks.is_running(status.state) and (not begins[status.state] or tasks.is_over(status.task)) then
    return
  end
  local entry = tasks.track(status.task, status.intent, from)
  if status.seq <= entry.seq then
    return
  end
  entry.seq, entry.state, entry.progress, entry.variants = status.seq, status.state, status.progress, status.variants
  if tasks.is_running(status.state) then
    at_work(entry, status)
  else
    at_end(entry, status)
  end
  changed()
end

--- A server is gone. What it was at work on is over, whoever ended it; what waits is kept, and the next server knows it.
function M.on_exit(code, signal, id)
  if vim.v.exiting ~= vim.NIL then
    return
  end
  local lost = {}
  for _, task in ipairs(tasks.ids()) do
    local entry = tasks.get(task)
    if entry.client == id and (entry.followed or tasks.is_running(entry.state)) then
      lost[#lost + 1] = ('%q'):format(entry.intent)
      forget(task)
    end
  end
  for _, job in ipairs(vim.deepcopy(jobs)) do
    if job.server == id then
      lost[#lost + 1] = job.what
    end
  end
  jobs = vim.tbl_filter(function(job)
    return job.server ~= id
  end, jobs)
  for _, task in ipairs(tasks.ids()) do
    local entry = tasks.get(task)
    if entry.client == id then
      entry.fetching = false
    end
  end
  listing, list_again = false, false
  if #lost > 0 or code ~= 0 or signal ~= 0 then
    local at = #lost > 0 and ('; what it was at work on has failed: ' .. table.concat(lost, ', ')) or ''
    say(('the server has ended (%s %d)%s. The next :Krins starts it again'):format(signal ~= 0 and 'signal' or 'status', signal ~= 0 and signal or code, at), vim.log.levels.ERROR)
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
    elseif entry.diff and (entry.state ~= 'applied' or tasks.is_left(entry)) then
      waiting = waiting + 1
    end
  end
  local parts = {}
  for _, job in ipairs(jobs) do
    parts[#parts + 1] = job.what
  end
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
