-- Answers that are read: the gate's report, what would be sent, tasks, locks, questions to the code graph. Lines and quickfix items;
-- each place is written as `path:line`, so that `gF` opens it.
local windows = require('krins.windows')

local M = {}

local function short(uri)
  return vim.fn.fnamemodify(vim.uri_to_fname(uri), ':.')
end

--- Files, as places that `gF` opens.
local function places(uris)
  return vim.tbl_map(function(uri)
    return short(uri) .. ':1'
  end, uris)
end

local function money(micros)
  return micros and ('%.4f USD'):format(micros / 1e6) or 'a price that is not known'
end

--- Lines that say what would be sent.
function M.context_lines(context, intent)
  local lines = {
    ('# %s'):format(intent),
    ('# %d pieces, %d tokens, %s; nothing was sent'):format(#context.items, context.tokens, money(context.estimate.micros)),
    '',
  }
  for _, item in ipairs(context.items) do
    local ranges = {}
    for _, range in ipairs(item.ranges) do
      ranges[#ranges + 1] = range[1] == range[2] and tostring(range[1]) or (range[1] .. '-' .. range[2])
    end
    lines[#lines + 1] = ('%s:%d  lines %s  %d tokens'):format(short(item.uri), item.ranges[1] and item.ranges[1][1] or 1, table.concat(ranges, ', '), item.tokens)
    lines[#lines + 1] = '    ' .. item.reason
  end
  if #context.pruned > 0 then
    vim.list_extend(lines, { '', '# left out' })
    vim.list_extend(lines, places(context.pruned))
  end
  return lines
end

function M.context(context, intent, quietly)
  return windows.list('krins://context', 'krins-context', M.context_lines(context, intent), quietly)
end

--- Lines that say why a change is what it is, from what it was made, and what that cost.
function M.why_lines(diff, intent)
  local usage = diff.usage
  local lines = {
    ('# %s'):format(intent),
    ('# by %s%s, %s, %d tokens in, %d out'):format(diff.model, diff.cached and ' (an answer that was kept)' or '', money(diff.cost), usage.inputTokens, usage.outputTokens),
  }
  if diff.degraded then
    lines[#lines + 1] = '# ' .. diff.degraded
  end
  for _, why in ipairs(diff.why) do
    vim.list_extend(lines, { '', why.reason })
    for _, place in ipairs(why.lines) do
      lines[#lines + 1] = '    ' .. place
    end
  end
  vim.list_extend(lines, { '', '# sent' })
  for _, file in ipairs(diff.sent or {}) do
    lines[#lines + 1] = ('%s:1  %d tokens'):format(short(file.uri), file.tokens)
  end
  if #(diff.pruned or {}) > 0 then
    vim.list_extend(lines, { '', '# considered, and not sent' })
    vim.list_extend(lines, places(diff.pruned))
  end
  return lines
end

function M.why(diff, intent)
  return windows.list('krins://' .. diff.task .. '.why', 'krins-why', M.why_lines(diff, intent))
end

--- A sentence about the money of a day: { today, perDay?, perTask? } in millionths of a dollar.
function M.spent(spent)
  local day = spent.perDay and (' of %s a day'):format(money(spent.perDay)) or ''
  local task = spent.perTask and (', at most %s a task'):format(money(spent.perTask)) or ''
  return ('spent today: %s%s%s'):format(money(spent.today), day, task)
end

local function seconds(milliseconds)
  return milliseconds and ('%.1f s'):format(milliseconds / 1000) or 'none'
end

local function percent(share)
  return share and ('%.0f %%'):format(share * 100) or 'nothing decided yet'
end

--- Lines of what came of tasks, and what they cost.
function M.figure_lines(figures)
  local tasks, spent = figures.tasks, figures.spent
  local lines = {
    ('# %s, the last %s'):format(figures.workspace, figures.period),
    '',
    ('tasks     %d asked, %d answered, %d accepted, %d rejected, %d waiting, %d blocked, %d failed, %d cancelled'):format(
      tasks.assigned,
      tasks.answered,
      tasks.accepted,
      tasks.rejected,
      tasks.waiting,
      tasks.blocked,
      tasks.failed,
      tasks.cancelled
    ),
    ('accepted  %s'):format(percent(tasks.acceptedShare)),
    ('to green  %s in the middle, %s for 95 of 100'):format(seconds(figures.green.p50), seconds(figures.green.p95)),
    ('spent     %s in %d calls, %d of them without a known price'):format(money(spent.knownMicros), spent.calls, spent.unpriced),
    ('cache     %d of %d answers'):format(figures.cache.hits, figures.cache.answers),
  }
  for _, agent in ipairs(figures.agents) do
    lines[#lines + 1] = ('by        %s: %d calls, %d failed, %d changes, %d accepted, %s'):format(agent.route, agent.calls, agent.failed, agent.patches, agent.accepted, money(agent.micros))
  end
  for _, cause in ipairs(figures.blocks) do
    lines[#lines + 1] = ('blocked   %s: %d'):format(cause.name, cause.tasks)
  end
  for _, cause in ipairs(figures.failures) do
    lines[#lines + 1] = ('failed    %s: %d'):format(cause.name, cause.tasks)
  end
  for _, objective in ipairs(figures.objectives) do
    local reached = objective.reached and ('%.2f %%'):format(objective.reached) or 'nothing happened yet'
    lines[#lines + 1] = ('promised  %s: %s of %.2f %%'):format(objective.description, reached, objective.objective)
  end
  for _, note in ipairs(figures.notes) do
    vim.list_extend(lines, { '', note })
  end
  return lines
end

function M.figures(figures)
  return windows.list('krins://report', 'krins-report', M.figure_lines(figures))
end

--- A task's answers, and why who was asked; <CR> shows one. `show(number)`.
function M.variants(status, show)
  local lines, numbers = { ('# answers to %s  (Enter shows one  q closes)'):format(status.intent), '' }, {}
  for _, answer in ipairs(status.variants) do
    lines[#lines + 1] = ('%d  %-5s  %s  %s'):format(answer.variant, answer.verdict or 'none', answer.model or '', answer.shown and 'shown now' or answer.error or '')
    numbers[#lines] = answer.variant
  end
  if #(status.choices or {}) > 0 then
    lines[#lines + 1] = ''
    vim.list_extend(lines, status.choices)
  end
  local buffer = windows.list('krins://' .. status.task .. '.variants', 'krins-variants', lines)
  windows.map(buffer, '<CR>', function()
    local number = numbers[vim.api.nvim_win_get_cursor(0)[1]]
    if number then
      show(number)
    end
  end, 'show')
  vim.api.nvim_win_set_cursor(0, { 3, 0 })
  return buffer
end

--- Lines of a gate report.
function M.gate_lines(report, intent)
  local lines = { ('# the gate: %s  (%s)'):format(report.verdict, intent), '' }
  for _, check in ipairs(report.checks) do
    lines[#lines + 1] = ('%-5s  %-10s  %.1f ms'):format(check.verdict, check.check, check.millis)
  end
  for _, run in ipairs(report.runs or {}) do
    lines[#lines + 1] = ('       %s: %s: %s (sandbox: %s)'):format(run.check, run.command, run['end'], run.sandbox)
  end
  for _, finding in ipairs(report.findings) do
    local line = finding.lines and finding.lines[1] or 1
    vim.list_extend(lines, { '', ('%s:%d  %s  %s'):format(finding.path, line, finding.verdict, finding.rule), '    ' .. finding.message })
    if finding.fix then
      lines[#lines + 1] = '    fix: ' .. finding.fix
    end
  end
  for _, waived in ipairs(report.waived or {}) do
    vim.list_extend(lines, { '', ('%s  waived until %s  %s'):format(waived.finding.path, waived.expires, waived.finding.rule), '    ' .. waived.reason })
  end
  return lines
end

function M.gate(report, intent, quietly)
  return windows.list('krins://gate', 'krins-gate', M.gate_lines(report, intent), quietly)
end

local kinds = { block = 'E', warn = 'W', pass = 'I' }

--- A gate's findings, for the quickfix list. Paths are relative to the root.
function M.findings(report, root)
  return vim.tbl_map(function(finding)
    return {
      filename = root .. '/' .. finding.path,
      lnum = finding.lines and finding.lines[1] or 1,
      end_lnum = finding.lines and finding.lines[2] or nil,
      type = kinds[finding.verdict],
      text = ('%s: %s%s'):format(finding.rule, finding.message, finding.fix and ('; ' .. finding.fix) or ''),
    }
  end, report.findings)
end

--- What is known of a task beside its state: why it failed, what the gate said, who answered, the price, its last record.
local function about(task)
  local parts = {}
  local function add(word, value)
    if value then
      parts[#parts + 1] = word .. value
    end
  end
  add('', task.error)
  add('gate: ', task.verdict)
  add('by ', task.model)
  add('', task.cost and money(task.cost))
  add('', task.audit and ('record %d %s %s'):format(task.audit.seq, task.audit.kind, task.audit.hash:sub(1, 12)))
  return table.concat(parts, ', ')
end

--- A line for each task and one about it, and its id by line. The server gives the newest first.
function M.task_lines(list)
  local lines, ids = { '# tasks  (Enter shows the diff  u undoes  c cancels  D discards  q closes)', '' }, {}
  for _, task in ipairs(list) do
    lines[#lines + 1] = ('%-10s %s  %s'):format(task.state, task.task, task.intent)
    ids[#lines] = task.task
    lines[#lines + 1] = '           ' .. about(task)
    ids[#lines] = task.task
  end
  if #list == 0 then
    lines[#lines + 1] = 'no tasks yet: :Krins {what to change}'
  end
  return lines, ids
end

local TASKS = 'krins://tasks'

--- By line of the list of tasks: the task's id.
local listed = {}

function M.lists_tasks()
  return windows.shown(TASKS) ~= nil
end

--- The list as it is now, where it is shown.
function M.retask(list)
  local buffer = windows.shown(TASKS)
  if buffer then
    local lines
    lines, listed = M.task_lines(list)
    windows.relist(buffer, lines)
  end
end

--- `actions`: show(task), undo(task), cancel(task), discard(task).
function M.tasks(list, actions)
  local lines
  lines, listed = M.task_lines(list)
  local buffer = windows.list(TASKS, 'krins-tasks', lines)
  for key, action in pairs({ ['<CR>'] = 'show', u = 'undo', c = 'cancel', D = 'discard' }) do
    windows.map(buffer, key, function()
      local id = listed[vim.api.nvim_win_get_cursor(0)[1]]
      if id then
        actions[action](id)
      end
    end, action)
  end
  if #list > 0 then
    vim.api.nvim_win_set_cursor(0, { 3, 0 })
  end
  return buffer
end

local function time(milliseconds)
  local minutes = math.ceil(milliseconds / 60000)
  return minutes < 120 and minutes .. ' min' or math.floor(minutes / 60) .. ' h'
end

function M.locks(list)
  local lines = { '# locks', '' }
  for _, lock in ipairs(list) do
    lines[#lines + 1] = ('%s:1  %s%s  %s left'):format(short(lock.uri), lock.holder, lock.mine and ' (you)' or '', time(lock.leftMs))
  end
  if #list == 0 then
    lines[#lines + 1] = 'no file is locked'
  end
  return windows.list('krins://locks', 'krins-locks', lines)
end

--- Lines for a value that has no view of its own.
function M.value(name, value)
  local text = vim.json.encode(value)
  -- As people read it; a value that is too large for that stays on one line.
  local pretty = #text < 200000 and vim.split(vim.inspect(value), '\n', { plain = true }) or { text }
  return windows.list('krins://' .. name, 'lua', pretty)
end

local function item(root, place, text)
  return { filename = place.uri and vim.uri_to_fname(place.uri) or root .. '/' .. place.path, lnum = place.line or place.lines and type(place.lines) == 'table' and place.lines[1] or 1, col = place.column or 1, text = text }
end

local function each(items, list, words)
  return function(root)
    for _, one in ipairs(list or {}) do
      items[#items + 1] = item(root, one, words(one))
    end
  end
end

--- By question: the answer as quickfix items, and what it comes down to.
local questions = {}

function questions.references(answer, root, items)
  each(items, answer.references, function(one)
    return ('%s: %s'):format(one.kind, one.text)
  end)(root)
  return ('%d references of %s in %d files'):format(answer.total, answer.symbol.name, answer.files)
end

function questions.impact(answer, root, items)
  each(items, answer.symbols, function(one)
    local because = one.because and (', %s of %s'):format(one.because.kind, one.because.symbol) or ''
    return ('%s, %d away%s'):format(one.symbol, one.distance, because)
  end)(root)
  each(items, answer.tests, function(one)
    return ('test, %d away'):format(one.distance)
  end)(root)
  return ('reaches %d declarations, %d files, %d tests'):format(answer.total[1], answer.total[2], answer.total[3])
end

function questions.tests(answer, root, items)
  each(items, answer.tests, function(one)
    return ('test, weight %.2f, %d uses'):format(one.weight, one.uses)
  end)(root)
  each(items, answer.covers, function(one)
    return ('covers, %d uses'):format(one.uses)
  end)(root)
  return ('%d tests of %s'):format(answer.total, answer.of)
end

function questions.module(answer, root, items)
  each(items, answer.imports, function(one)
    -- The line is of the import, which stands in the module itself.
    return ('imported on line %d: %s'):format(one.line, table.concat(one.names, ', '))
  end)(root)
  local imports = #items
  for _, one in ipairs(items) do
    one.lnum = 1
  end
  each(items, answer.importers, function(one)
    return ('takes %s'):format(table.concat(one.names, ', '))
  end)(root)
  return ('%s: imports %d files, imported by %d'):format(answer.path, imports, #items - imports)
end

function questions.path(answer, root, items)
  each(items, answer.steps, function(one)
    return ('%s → %s by %s: %s'):format(one.from, one.to, one.kind, one.text)
  end)(root)
  return not answer.found and 'there is no way' or ('%d steps%s'):format(#answer.steps, answer.reversed and ', the other way round' or '')
end

function questions.unused(answer, root, items)
  each(items, answer.unused, function(one)
    return ('%s: %s (%.0f %%)'):format(one.exportedAs, one.why, one.confidence * 100)
  end)(root)
  return ('%d exports that nothing takes'):format(answer.total)
end

function questions.cycles(answer, root, items)
  for _, cycle in ipairs(answer.cycles) do
    for _, link in ipairs(cycle.shortest) do
      items[#items + 1] = { filename = root .. '/' .. link.from, lnum = link.line, text = ('%s circle of %d: %s → %s'):format(cycle.kind, cycle.size, link.from, link.to) }
    end
  end
  return ('%d circles'):format(answer.total)
end

function questions.owners(answer, root, items)
  for _, file in ipairs(answer.files) do
    items[#items + 1] = item(root, file, table.concat(file.owners, ' '))
  end
  local counts = {}
  for _, one in ipairs(answer.owners) do
    counts[#counts + 1] = ('%s %d'):format(one.owner, one.files)
  end
  return #counts > 0 and 'files of each owner: ' .. table.concat(counts, ', ') or 'nobody owns anything here'
end

function questions.stats(answer)
  return ('%d files, %d symbols, %d exports, %d edges, %d lines'):format(answer.files, answer.symbols, answer.exports, answer.edges, answer.lines)
end

--- The questions that there are.
function M.questions()
  local names = vim.tbl_keys(questions)
  table.sort(names)
  return names
end

--- Puts an answer into the quickfix list, and gives a sentence.
function M.answer(question, answer, root)
  local items = {}
  local sentence = questions[question](answer, root, items)
  if #items > 0 then
    vim.fn.setqflist({}, ' ', { title = 'krins: ' .. question .. ': ' .. sentence, items = items })
    vim.cmd('botright copen')
  end
  local partial = answer.partial and (' (read so far: %d of %d files)'):format(answer.partial.read, answer.partial.total) or ''
  return sentence .. (answer.truncated and ', cut' or '') .. partial
end

return M
