-- `:Krins`: one command, whose first word says what. Words that are none of its own are an intent.
local client = require('krins.client')
local report = require('krins.report')
local tasks = require('krins.tasks')

local M = {}

--- How the keyless refactorings begin; a model takes any words.
local openings = { 'rename', 'move', 'remove unused imports', 'turn the default export into a named one' }

--- `++name=value` before an intent, and what `krins/assign` calls it.
local settings = {
  scope = { 'narrow', 'normal', 'broad' },
  mode = { 'patch', 'spec' },
  variants = { '1', '2', '3', '4', '5' },
  tokens = {},
  micros = {},
  agent = {},
}

local function starting_with(lead, words)
  return vim.tbl_filter(function(word)
    return vim.startswith(word, lead)
  end, words)
end

--- Names in the buffer, the one under the cursor first.
local function names(lead)
  local seen, found = {}, {}
  local function add(word)
    if #word > 2 and not seen[word] and vim.startswith(word, lead) then
      seen[word] = true
      found[#found + 1] = word
    end
  end
  add(vim.fn.expand('<cword>'))
  if lead ~= '' then
    local rest = {}
    for _, line in ipairs(vim.api.nvim_buf_get_lines(0, 0, 5000, false)) do
      for word in line:gmatch('[%a_$][%w_$]*') do
        rest[word] = true
      end
    end
    local sorted = vim.tbl_keys(rest)
    table.sort(sorted)
    for _, word in ipairs(sorted) do
      add(word)
    end
  end
  return found
end

local function setting_words(lead)
  local name, value = lead:match('^%+%+(%w+)=(.*)$')
  if name then
    return vim.tbl_map(function(word)
      return ('++%s=%s'):format(name, word)
    end, starting_with(value, settings[name] or {}))
  end
  local all = vim.tbl_map(function(key)
    return '++' .. key .. '='
  end, vim.tbl_keys(settings))
  table.sort(all)
  return starting_with(lead, all)
end

--- What may follow in an intent, of which `before` is said.
local function intent_words(lead, before)
  if vim.startswith(lead, '+') then
    return setting_words(lead)
  end
  local said = before:gsub('%+%+%S+%s*', '')
  if said == '' then
    return vim.list_extend(starting_with(lead, openings), starting_with(lead, tasks.history()))
  end
  return vim.list_extend(names(lead), starting_with(lead, { 'to' }))
end

local function task_words(lead)
  return starting_with(lead, tasks.ids())
end

local function hunk_words(lead)
  return starting_with(lead, tasks.hunk_ids())
end

--- The settings before an intent, and the intent. An error is a sentence.
function M.intent(text)
  local options, rest = {}, vim.trim(text)
  while vim.startswith(rest, '++') do
    local name, value, after = rest:match('^%+%+(%w+)=(%S+)%s*(.*)$')
    local allowed = name and settings[name]
    if not allowed then
      return nil, nil, ('%q is no setting: ++scope, ++mode, ++variants, ++tokens, ++micros, ++agent'):format(rest:match('^%S+'))
    end
    if #allowed > 0 and not vim.tbl_contains(allowed, value) then
      return nil, nil, ('++%s is one of %s'):format(name, table.concat(allowed, ', '))
    end
    if name == 'tokens' or name == 'micros' then
      local count = tonumber(value)
      if not count or count < 0 or count % 1 ~= 0 then
        return nil, nil, ('++%s is a whole number'):format(name)
      end
      options.budget = options.budget or {}
      options.budget[name] = count
    else
      options[name] = name == 'variants' and tonumber(value) or value
    end
    rest = after
  end
  return options, rest
end

local function asking(action)
  return function(text, range)
    local options, intent, wrong = M.intent(text)
    if wrong then
      return wrong
    end
    require('krins')[action]({ intent = intent, options = options, range = range })
  end
end

--- An action that takes one task, or none.
local function of_task(action)
  return function(text)
    if text:find('%s') then
      return ('one task, not %q'):format(text)
    end
    require('krins')[action]({ task = text ~= '' and text or nil })
  end
end

--- An action that takes one hunk, or the one under the cursor.
local function of_hunk(action)
  return function(text)
    if text ~= '' and not text:find('^h%d+$') then
      return ('a hunk, such as h1, not %q'):format(text)
    end
    require('krins')[action]({ hunk = text ~= '' and text or nil })
  end
end

local function plain(action)
  return function(text)
    if text ~= '' then
      return ('nothing, not %q'):format(text)
    end
    require('krins')[action]()
  end
end

local function hunks_of(text)
  local hunks = vim.split(text, '%s+', { trimempty = true })
  for _, hunk in ipairs(hunks) do
    if not hunk:find('^h%d+$') then
      return nil
    end
  end
  return #hunks > 0 and hunks or nil, true
end

local function apply(text)
  local markers, dry = text:find('++markers', 1, true) ~= nil, text:find('++dry', 1, true) ~= nil
  local hunks, understood = hunks_of((text:gsub('%+%+markers', ''):gsub('%+%+dry', '')))
  if not understood then
    return ('hunks, such as h1 h3, and ++markers or ++dry, not %q'):format(text)
  end
  require('krins').apply({ hunks = hunks, onConflict = markers and 'markers' or nil, dryRun = dry or nil })
end

--- An undo id, or hunks of the newest task.
local function turn(action)
  return function(text)
    local hunks, understood = hunks_of(text)
    if understood then
      require('krins')[action]({ hunks = hunks })
    elseif text:find('%s') then
      return ('an undo id, a task or hunks, not %q'):format(text)
    else
      require('krins')[action]({ undo = text })
    end
  end
end

local function fix(text)
  local rounds = tonumber(text)
  if text ~= '' and (not rounds or rounds < 1 or rounds > 10 or rounds % 1 ~= 0) then
    return ('a number of rounds, 1 to 10, not %q'):format(text)
  end
  require('krins').fix({ rounds = rounds })
end

local function variant(text)
  if not text:find('^%d*$') then
    return ('a number, or nothing for a list, not %q'):format(text)
  end
  require('krins').variant({ variant = tonumber(text) })
end

local periods = { 'day', 'week', 'month' }

local function of_period(action)
  return function(text)
    if text ~= '' and not vim.tbl_contains(periods, text) then
      return ('day, week or month, not %q'):format(text)
    end
    require('krins')[action]({ period = text ~= '' and text or nil })
  end
end

local function period_words(lead)
  return starting_with(lead, periods)
end

local function waive(text)
  local rule, path, expires, reason = text:match('^(%S+)%s+(%S+)%s+(%d%d%d%d%-%d%d%-%d%d)%s+(%S.*)$')
  if not rule then
    return 'a rule, a path, the last day and why: sast/eval src/legacy.ts 2027-01-31 goes with 2.0'
  end
  require('krins').waive({ rule = rule, path = path, expires = expires, reason = reason })
end

--- Rules and paths that the newest proposal's gate found, then a day.
local function waive_words(lead, before)
  local given = #vim.split(before, '%s+', { trimempty = true })
  local task = tasks.proposed()
  local findings = task and tasks.get(task).diff.gate.findings or {}
  if given > 1 then
    return given == 2 and starting_with(lead, { tasks.waived_until() }) or {}
  end
  local key, seen, found = given == 0 and 'rule' or 'path', {}, {}
  for _, finding in ipairs(findings) do
    if not seen[finding[key]] then
      seen[finding[key]] = true
      found[#found + 1] = finding[key]
    end
  end
  return starting_with(lead, found)
end

local function graph(text)
  local words = vim.split(text, '%s+', { trimempty = true })
  local question = table.remove(words, 1)
  if question == 'pause' or question == 'resume' then
    require('krins').index(question == 'pause')
    return
  end
  if not vim.tbl_contains(report.questions(), question) then
    return 'a question: ' .. table.concat(report.questions(), ', ') .. ', pause, resume'
  end
  if question == 'path' then
    if #words ~= 2 then
      return 'from where to where: path src/a.ts src/b.ts'
    end
    require('krins').graph({ question = question, from = words[1], to = words[2] })
    return
  end
  require('krins').graph({ question = question, targets = #words > 0 and words or nil })
end

local function graph_words(lead, before)
  if vim.trim(before) == '' then
    return starting_with(lead, vim.list_extend(report.questions(), { 'pause', 'resume' }))
  end
  return names(lead)
end

local function unlock(text)
  if text ~= '' and text ~= '++force' then
    return ('nothing, or ++force, not %q'):format(text)
  end
  require('krins').unlock({ force = text == '++force' })
end

local function run(text)
  local name, json = text:match('^(%S+)%s*(.*)$')
  if not name then
    return 'a command of the server: krins.status'
  end
  local argument
  if json ~= '' then
    local ok, value = pcall(vim.json.decode, json)
    if not ok or type(value) ~= 'table' then
      return ('one JSON object behind the command, not %q'):format(json)
    end
    -- An empty Lua table would be sent as a list.
    argument = next(value) and value or vim.empty_dict()
  end
  require('krins').run({ command = name, argument = argument })
end

local function run_words(lead, before)
  return vim.trim(before) == '' and starting_with(lead, client.commands()) or {}
end

--- By name: what it does, given the rest of the line (an answer is what it wanted to hear instead), and what completes it.
M.words = {
  assign = { asking('assign'), intent_words },
  context = { asking('context'), intent_words },
  diff = { of_task('diff'), task_words },
  review = { of_task('review'), task_words },
  why = { of_task('why'), task_words },
  hunk = { of_hunk('hunk'), hunk_words },
  next = { function(text)
    return text ~= '' and 'nothing' or require('krins').jump(1)
  end },
  prev = { function(text)
    return text ~= '' and 'nothing' or require('krins').jump(-1)
  end },
  accept = { of_hunk('accept'), hunk_words },
  reject = { of_hunk('reject'), hunk_words },
  reopen = { of_hunk('reopen'), hunk_words },
  edit = { of_hunk('edit'), hunk_words },
  apply = { apply, function(lead)
    return vim.list_extend(hunk_words(lead), starting_with(lead, { '++markers', '++dry' }))
  end },
  discard = { of_task('discard'), task_words },
  cancel = { of_task('cancel'), task_words },
  undo = { turn('undo') },
  redo = { turn('redo') },
  gate = { of_task('gate'), task_words },
  fix = { fix },
  waive = { waive, waive_words },
  variant = { variant, function(lead)
    return starting_with(lead, tasks.variants())
  end },
  tasks = { plain('tasks') },
  preview = { of_task('preview'), task_words },
  promote = { of_task('promote'), task_words },
  graph = { graph, graph_words },
  lock = { plain('lock') },
  unlock = { unlock, function(lead)
    return starting_with(lead, { '++force' })
  end },
  locks = { plain('locks') },
  status = { plain('status') },
  report = { of_period('report'), period_words },
  dashboard = { of_period('dashboard'), period_words },
  audit = { plain('audit') },
  run = { run, run_words },
}

--- Carries out what stands behind `:Krins`.
function M.run(call)
  local text = vim.trim(call.args)
  local range = call.range > 0 and { call.line1, call.line2 } or nil
  local name, rest = text:match('^(%S+)%s*(.*)$')
  local word = name and M.words[name]
  if not word then
    local wrong = asking('assign')(text, range)
    if wrong then
      vim.notify('krins: ' .. wrong, vim.log.levels.ERROR)
    end
    return
  end
  local wanted = word[1](rest, range)
  if wanted then
    -- An intent may begin with any word; it is not guessed which was meant.
    vim.notify((':Krins %s takes %s. To ask for a change in these words: :Krins assign %s'):format(name, wanted, text), vim.log.levels.ERROR)
  end
end

--- Completes a line that begins with `:Krins`.
function M.complete(lead, line, at)
  local typed = line:sub(1, at):gsub('^.-%f[%a]Krins!?%s*', '', 1)
  local before = typed:sub(1, #typed - #lead)
  if before == '' then
    local all = vim.tbl_keys(M.words)
    table.sort(all)
    local found = starting_with(lead, all)
    return vim.list_extend(found, vim.startswith(lead, '+') and setting_words(lead) or vim.list_extend(starting_with(lead, openings), starting_with(lead, tasks.history())))
  end
  local name, rest = before:match('^(%S+)%s+(.*)$')
  local word = M.words[name]
  if not word then
    return intent_words(lead, before)
  end
  return word[2] and word[2](lead, rest) or {}
end

return M
