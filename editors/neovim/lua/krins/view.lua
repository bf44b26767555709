-- A proposal as one unified diff, with its keys.
local tasks = require('krins.tasks')
local windows = require('krins.windows')

local M = {}

local marks = vim.api.nvim_create_namespace('krins.diff')

local help = 'a accept  x reject  e edit  s side by side  ]c [c next, previous  A apply  D discard  q close'

local looks = { rejected = 'WarningMsg', edited = 'Special', accepted = 'Added', open = 'Comment' }

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

--- Shows a proposal. `actions` has a function for each of accept, reject, edit, side_by_side, apply, discard.
function M.diff(diff, intent, actions)
  local lines = M.lines(diff.patch)
  local buffer = windows.split('krins://' .. diff.task .. '.diff', lines, 'diff')
  local rows, hunks = M.hunk_rows(lines), tasks.hunks(diff)
  M.mark(buffer, rows, hunks)
  vim.wo.winbar = ('krins: %s  (%s)'):format(windows.plain(intent), help)

  -- The header of a file belongs to its first hunk.
  local function under_cursor()
    local row = vim.api.nvim_win_get_cursor(0)[1] - 1
    for index, first in ipairs(rows) do
      if hunks[index] and row <= first + #hunks[index].lines then
        return hunks[index]
      end
    end
    return hunks[#hunks]
  end
  windows.knows_hunks(buffer, function()
    local hunk = under_cursor()
    if hunk then
      return diff.task, hunk.id
    end
  end)

  local function jump(step)
    local row = vim.api.nvim_win_get_cursor(0)[1] - 1
    local candidates = vim.tbl_filter(function(first)
      return step > 0 and first > row or step < 0 and first < row
    end, rows)
    local target = step > 0 and candidates[1] or candidates[#candidates]
    if target then
      vim.api.nvim_win_set_cursor(0, { target + 1, 0 })
    end
  end

  for key, action in pairs({ a = 'accept', x = 'reject', e = 'edit', s = 'side_by_side', A = 'apply', D = 'discard' }) do
    windows.map(buffer, key, actions[action], (action:gsub('_', ' ')))
  end
  windows.map(buffer, 'q', '<Cmd>close<CR>', 'close')
  windows.map(buffer, ']c', function()
    jump(1)
  end, 'next hunk')
  windows.map(buffer, '[c', function()
    jump(-1)
  end, 'previous hunk')
  return buffer
end

--- Whether the diff of this task is shown somewhere.
function M.shown(task)
  return vim.fn.bufwinid('^krins://' .. vim.fn.escape(task, '[]*?^$.\\{},') .. '\\.diff$') ~= -1
end

return M
