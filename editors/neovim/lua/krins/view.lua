-- The windows: a proposal as a diff, and what would be sent. Scratch buffers; nothing here changes a file.
local M = {}

local marks = vim.api.nvim_create_namespace('krins')

local help = 'a apply   x reject or take back the hunk   e edit it   ]c [c next, previous hunk   D discard   q close'

local function scratch(name, filetype, lines)
  local buffer = vim.fn.bufnr('^' .. vim.fn.escape(name, '[]*?^$.\\') .. '$')
  if buffer == -1 then
    buffer = vim.api.nvim_create_buf(false, true)
    vim.api.nvim_buf_set_name(buffer, name)
  end
  vim.bo[buffer].buftype = 'nofile'
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].swapfile = false
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].filetype = filetype
  local window = vim.fn.bufwinid(buffer)
  if window == -1 then
    vim.cmd('botright split')
    vim.api.nvim_win_set_buf(0, buffer)
  else
    vim.api.nvim_set_current_win(window)
  end
  return buffer
end

local function map(buffer, lhs, action, description)
  vim.keymap.set('n', lhs, action, { buffer = buffer, nowait = true, silent = true, desc = 'krins: ' .. description })
end

--- Rows (0-based) of the `@@` lines, in the order of the patch.
function M.hunk_rows(lines)
  local rows = {}
  for index, line in ipairs(lines) do
    if line:find('^@@ %-') then
      rows[#rows + 1] = index - 1
    end
  end
  return rows
end

--- Every hunk of a proposal in the order of its patch.
function M.hunks(diff)
  local hunks = {}
  for _, file in ipairs(diff.files) do
    vim.list_extend(hunks, file.hunks)
  end
  return hunks
end

--- A hunk's new lines, to be changed: writing the buffer makes them the truth.
local function edit(task, hunk, done)
  local lines = {}
  for _, line in ipairs(hunk.lines) do
    if line:sub(1, 1) ~= '-' then
      lines[#lines + 1] = line:sub(2)
    end
  end
  local buffer = scratch('krins://' .. task .. '.' .. hunk.id, '', lines)
  vim.bo[buffer].buftype = 'acwrite'
  vim.bo[buffer].modifiable = true
  vim.bo[buffer].modified = false
  vim.wo.winbar = ('krins: the new lines of %s  (:w takes them, :q! leaves them)'):format(hunk.id)
  vim.api.nvim_create_autocmd('BufWriteCmd', {
    buffer = buffer,
    callback = function()
      local written = vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
      local text = table.concat(written, '\n') .. '\n'
      vim.bo[buffer].modified = false
      vim.schedule(function()
        vim.api.nvim_buf_delete(buffer, { force = true })
        done(hunk.id, text == '\n' and '' or text)
      end)
    end,
  })
end

--- Shows a proposal. `actions`: apply(), discard(), review(hunk, verdict, done), edit(hunk, text).
function M.diff(diff, intent, actions)
  local lines = vim.split((diff.patch:gsub('\n$', '')), '\n', { plain = true })
  local buffer = scratch('krins://' .. diff.task .. '.diff', 'diff', lines)
  local rows, hunks = M.hunk_rows(lines), M.hunks(diff)
  M.mark(buffer, rows, hunks)
  vim.wo.winbar = ('krins: %s  (%s)'):format(intent:gsub('%%', '%%%%'), help)

  local function under_cursor()
    local row, found = vim.api.nvim_win_get_cursor(0)[1] - 1, nil
    for index, first in ipairs(rows) do
      if first <= row then
        found = index
      end
    end
    return found and hunks[found]
  end
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

  map(buffer, 'a', actions.apply, 'apply every hunk that is not rejected')
  map(buffer, 'D', actions.discard, 'discard the proposal')
  map(buffer, 'q', '<Cmd>close<CR>', 'close')
  map(buffer, ']c', function()
    jump(1)
  end, 'next hunk')
  map(buffer, '[c', function()
    jump(-1)
  end, 'previous hunk')
  map(buffer, 'x', function()
    local hunk = under_cursor()
    if not hunk then
      return
    end
    actions.review(hunk.id, hunk.verdict == 'reject' and 'open' or 'reject', function(changed)
      hunks = M.hunks(changed)
      if vim.api.nvim_buf_is_valid(buffer) then
        M.mark(buffer, rows, hunks)
      end
    end)
  end, 'reject the hunk, or take it back')
  map(buffer, 'e', function()
    local hunk = under_cursor()
    if hunk and #hunk.lines > 0 then
      edit(diff.task, hunk, actions.edit)
    end
  end, 'edit the new lines of the hunk')
  return buffer
end

--- Writes what is decided about each hunk behind its header.
function M.mark(buffer, rows, hunks)
  vim.api.nvim_buf_clear_namespace(buffer, marks, 0, -1)
  for index, row in ipairs(rows) do
    local hunk = hunks[index]
    if hunk then
      local text, group = hunk.id, 'Comment'
      if hunk.verdict == 'reject' then
        text, group = hunk.id .. ' rejected', 'WarningMsg'
      elseif hunk.edited then
        text = hunk.id .. ' edited'
      end
      vim.api.nvim_buf_set_extmark(buffer, marks, row, 0, { virt_text = { { text, group } } })
    end
  end
end

function M.close(task)
  for _, suffix in ipairs({ '.diff' }) do
    local buffer = vim.fn.bufnr('^krins://' .. vim.fn.escape(task, '[]*?^$.\\') .. vim.fn.escape(suffix, '.') .. '$')
    if buffer ~= -1 then
      vim.api.nvim_buf_delete(buffer, { force = true })
    end
  end
end

--- Lines that say what would be sent; each file as `path:line`, so that `gF` opens it.
function M.context_lines(context, intent)
  local lines = {
    ('# %s'):format(intent),
    ('# %d pieces, %d tokens, nothing was sent'):format(#context.items, context.tokens),
    '',
  }
  for _, item in ipairs(context.items) do
    local ranges = {}
    for _, range in ipairs(item.ranges) do
      ranges[#ranges + 1] = range[1] == range[2] and tostring(range[1]) or (range[1] .. '-' .. range[2])
    end
    local path = vim.fn.fnamemodify(vim.uri_to_fname(item.uri), ':.')
    lines[#lines + 1] = ('%s:%d  lines %s  %d tokens'):format(path, item.ranges[1] and item.ranges[1][1] or 1, table.concat(ranges, ', '), item.tokens)
    lines[#lines + 1] = '    ' .. item.reason
  end
  if #context.pruned > 0 then
    vim.list_extend(lines, { '', '# left out' })
    vim.list_extend(lines, context.pruned)
  end
  return lines
end

function M.context(context, intent)
  local buffer = scratch('krins://context', 'krins-context', M.context_lines(context, intent))
  map(buffer, 'q', '<Cmd>close<CR>', 'close')
  return buffer
end

return M
