-- A proposal as one unified diff, with its keys.
local tasks = require('krins.tasks')
local windows = require('krins.windows')

local M = {}

local marks = vim.api.nvim_create_namespace('krins.diff')

local help = 'a accept  x reject  e edit  s side by side  ]c [c next, previous  A apply  D discard  q close'

local looks = { rejected = 'WarningMsg', edited = 'Special', accepted = 'Added', open = 'Comment', applied = 'Comment' }

--- By buffer: { diff, rows, hunks }, the proposal that it shows.
local shown = {}

local function name_of(task)
  return 'krins://' .. task .. '.diff'
end

--- Rows (0-based) of the `@@` lines, in the order of the patch. A hunk's own lines begin with a mark and never with `@@`.
function M.hunk_rows(lines)
  local rows = {}
  for index, line in ipairs(lines) do
    if line:find('^@@ %-') then
      rows[#rows + 1] = index - 1
    end
  end
  return rows
end

--- The patch as it is read: the carriage returns of a hunk whose every line has one are not shown.
function M.lines(patch)
  local lines = vim.split((patch:gsub('\n$', '')), '\n', { plain = true })
  local rows = M.hunk_rows(lines)
  for index, row in ipairs(rows) do
    local first, last = row + 2, (rows[index + 1] or #lines)
    while last >= first and not lines[last]:find('^[ +-].*\r$') do
      last = last - 1
    end
    local body = windows.without_returns(vim.list_slice(lines, first, last))
    for offset, line in ipairs(body) do
      lines[first + offset - 1] = line
    end
  end
  return lines
end

--- Writes what is decided about each hunk behind its header.
function M.mark(buffer, rows, hunks)
  vim.api.nvim_buf_clear_namespace(buffer, marks, 0, -1)
  for index, row in ipairs(rows) do
    local hunk = hunks[index]
    if hunk then
      local word = tasks.verdict(hunk)
      local text = word == 'open' and hunk.id or hunk.id .. ' ' .. word
      vim.api.nvim_buf_set_extmark(buffer, marks, row, 0, { virt_text = { { text, looks[word] } } })
    end
  end
end

--- Takes in what a buffer shows now.
local function note(buffer, diff, lines)
  local rows, hunks = M.hunk_rows(lines), tasks.hunks(diff)
  shown[buffer] = { diff = diff, rows = rows, hunks = hunks }
  M.mark(buffer, rows, hunks)
end

--- The header of a file belongs to its first hunk.
local function under_cursor(buffer)
  local rows, hunks = shown[buffer].rows, shown[buffer].hunks
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  for index, first in ipairs(rows) do
    if hunks[index] and row <= first + #hunks[index].lines then
      return hunks[index]
    end
  end
  return hunks[#hunks]
end

local function jump(buffer, step)
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  local candidates = vim.tbl_filter(function(first)
    return step > 0 and first > row or step < 0 and first < row
  end, shown[buffer].rows)
  local target = step > 0 and candidates[1] or candidates[#candidates]
  if target then
    vim.api.nvim_win_set_cursor(0, { target + 1, 0 })
  end
end

local function keys(buffer, actions)
  for key, action in pairs({ a = 'accept', x = 'reject', e = 'edit', s = 'side_by_side', A = 'apply', D = 'discard' }) do
    windows.map(buffer, key, actions[action], (action:gsub('_', ' ')))
  end
  windows.map(buffer, 'q', '<Cmd>close<CR>', 'close')
  for key, step in pairs({ [']c'] = 1, ['[c'] = -1 }) do
    windows.map(buffer, key, function()
      jump(buffer, step)
    end, step > 0 and 'next hunk' or 'previous hunk')
  end
end

--- Shows a proposal; `quietly` without going there. `actions` has a function for each of accept, reject, edit, side_by_side, apply, discard.
function M.diff(diff, intent, actions, quietly)
  local lines = M.lines(diff.patch)
  local buffer, window = windows.split(name_of(diff.task), lines, 'diff', quietly)
  note(buffer, diff, lines)
  vim.wo[window].winbar = ('krins: %s  (%s)'):format(windows.plain(intent), help)
  windows.knows_hunks(buffer, function()
    local hunk = under_cursor(buffer)
    if hunk then
      return shown[buffer].diff.task, hunk.id
    end
  end, function()
    shown[buffer] = nil
  end)
  keys(buffer, actions)
  return buffer
end

--- What is decided now, where the diff of this task is shown: on whichever tab, and without going there.
function M.update(diff)
  local buffer = windows.shown(name_of(diff.task))
  if not buffer then
    return
  end
  local lines = M.lines(diff.patch)
  if not vim.deep_equal(lines, vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) then
    windows.refill(buffer, lines)
  end
  note(buffer, diff, lines)
end

return M
