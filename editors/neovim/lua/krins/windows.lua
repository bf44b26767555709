-- Scratch windows: made, filled, given keys. Nothing here changes a file.
local M = {}

--- What knows the hunk under the cursor, by buffer: a function that gives task and hunk id, or nothing.
local hunk_at = {}

--- A buffer that is no file, with these lines; an older one of that name is filled anew.
function M.buffer(name, lines, filetype)
  local buffer = vim.fn.bufnr('^' .. vim.fn.escape(name, '[]*?^$.\\{},') .. '$')
  if buffer == -1 then
    buffer = vim.api.nvim_create_buf(false, true)
    vim.api.nvim_buf_set_name(buffer, name)
  end
  vim.bo[buffer].buftype = 'nofile'
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].swapfile = false
  M.fill(buffer, lines)
  if filetype then
    vim.bo[buffer].filetype = filetype
  end
  return buffer
end

--- Replaces the lines of a buffer that a person cannot change.
function M.fill(buffer, lines)
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo[buffer].modified = false
  vim.bo[buffer].modifiable = false
end

--- The buffer in a window below, or in the window that shows it; then the window. `quietly` leaves the person where they are: what
--- comes by itself must not catch the keys that somebody is typing.
function M.split(name, lines, filetype, quietly)
  local buffer = M.buffer(name, lines, filetype)
  local window = vim.fn.bufwinid(buffer)
  if window == -1 then
    window = vim.api.nvim_open_win(buffer, not quietly, { split = 'below', win = -1 })
  elseif not quietly then
    vim.api.nvim_set_current_win(window)
  end
  return buffer, window
end

--- What others wrote, as lines: nothing in it acts on the screen.
local function still(lines)
  return vim.tbl_map(function(line)
    return (line:gsub('%c', ' '))
  end, lines)
end

--- A list that `gF` walks and `q` closes.
function M.list(name, filetype, lines, quietly)
  local buffer = M.split(name, still(lines), filetype, quietly)
  M.map(buffer, 'q', '<Cmd>close<CR>', 'close')
  return buffer
end

--- The list as it is now; every window on it stays where it is.
function M.relist(buffer, lines)
  M.refill(buffer, still(lines))
end

--- The buffer of that name, when it is shown anywhere: on any tab.
function M.shown(name)
  local buffer = vim.fn.bufnr('^' .. vim.fn.escape(name, '[]*?^$.\\{},') .. '$')
  return buffer ~= -1 and #vim.fn.win_findbuf(buffer) > 0 and buffer or nil
end

--- Replaces what a buffer shows; every window on it stays where it is.
function M.refill(buffer, lines)
  local views = {}
  for _, window in ipairs(vim.fn.win_findbuf(buffer)) do
    views[window] = vim.api.nvim_win_call(window, vim.fn.winsaveview)
  end
  M.fill(buffer, lines)
  for window, view in pairs(views) do
    vim.api.nvim_win_call(window, function()
      vim.fn.winrestview(view)
    end)
  end
end

--- Whether a window may be opened now: nobody is typing a text, a command or the rest of one.
function M.at_rest()
  return vim.api.nvim_get_mode().mode == 'n' and vim.fn.getcmdwintype() == ''
end

--- Gives a function that says whether the person is still where they are now, and did nothing since.
function M.attention()
  local function now()
    local window = vim.api.nvim_get_current_win()
    return { window, vim.api.nvim_get_current_buf(), vim.b.changedtick, vim.api.nvim_win_get_cursor(window) }
  end
  local then_ = now()
  return function()
    return M.at_rest() and vim.deep_equal(then_, now())
  end
end

function M.map(buffer, lhs, action, description)
  vim.keymap.set('n', lhs, action, { buffer = buffer, nowait = true, silent = true, desc = 'krins: ' .. description })
end

--- What may stand in a winbar or a status line as it is.
function M.plain(text)
  return (text:gsub('%%', '%%%%'):gsub('[%c]', ' '))
end

--- `find` gives task and id of the hunk under the cursor; `gone` runs when the buffer is no more.
function M.knows_hunks(buffer, find, gone)
  hunk_at[buffer] = find
  vim.api.nvim_create_autocmd('BufWipeout', {
    group = vim.api.nvim_create_augroup('krins.hunks.' .. buffer, {}),
    buffer = buffer,
    once = true,
    callback = function()
      hunk_at[buffer] = nil
      if gone then
        gone()
      end
    end,
  })
end

--- Task and id of the hunk under the cursor, or nothing.
function M.hunk_under_cursor()
  local find = hunk_at[vim.api.nvim_get_current_buf()]
  if find then
    return find()
  end
end

--- Whether every line ends in a carriage return: then it belongs to the line's end and need not be seen.
function M.all_dos(lines)
  for _, line in ipairs(lines) do
    if line:sub(-1) ~= '\r' then
      return false
    end
  end
  return #lines > 0
end

--- The lines without their carriage returns, where each of them has one.
function M.without_returns(lines)
  return M.all_dos(lines) and vim.tbl_map(function(line)
    return line:sub(1, -2)
  end, lines) or lines
end

--- What a person wrote for a hunk is taken (the buffer goes), or it is not (the buffer stays, or comes back, as it was written).
local function settle(buffer, tick, taken)
  if not vim.api.nvim_buf_is_valid(buffer) then
    return
  end
  if taken and vim.api.nvim_buf_get_changedtick(buffer) == tick then
    vim.api.nvim_buf_delete(buffer, { force = true })
    return
  end
  vim.bo[buffer].modified = true
  vim.bo[buffer].bufhidden = 'wipe'
  if #vim.fn.win_findbuf(buffer) == 0 and M.at_rest() then
    vim.api.nvim_open_win(buffer, false, { split = 'below', win = -1 })
  end
end

--- A hunk's new lines, to be changed: writing the buffer makes them the truth. `done(id, text, settled)` is to call `settled` with
--- whether they were taken: until then they are in the buffer alone.
function M.edit(task, hunk, done)
  local kept = {}
  for _, line in ipairs(hunk.lines) do
    local mark = line:sub(1, 1)
    if mark == ' ' or mark == '+' then
      kept[#kept + 1] = line:sub(2)
    end
  end
  local lines = M.without_returns(kept)
  local line_end = lines == kept and '\n' or '\r\n'
  local name = 'krins://' .. task .. '.' .. hunk.id
  local open = vim.fn.bufnr('^' .. vim.fn.escape(name, '[]*?^$.\\{},') .. '$')
  if open ~= -1 and vim.bo[open].modified then
    -- What was typed there is not written yet, or not taken.
    vim.bo[open].bufhidden = 'wipe'
    if vim.fn.bufwinid(open) ~= -1 then
      vim.api.nvim_set_current_win(vim.fn.bufwinid(open))
    else
      vim.api.nvim_open_win(open, true, { split = 'below', win = -1 })
    end
    return
  end
  local buffer, window = M.split(name, lines)
  vim.bo[buffer].buftype = 'acwrite'
  vim.bo[buffer].modifiable = true
  vim.bo[buffer].modified = false
  vim.wo[window].winbar = ('krins: the new lines of %s  (:w takes them, :q! leaves them)'):format(hunk.id)
  vim.api.nvim_create_autocmd('BufWriteCmd', {
    group = vim.api.nvim_create_augroup('krins.edit.' .. buffer, {}),
    buffer = buffer,
    callback = function()
      local written = vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
      local text = table.concat(written, line_end) .. line_end
      -- `:wq` closes the window before the answer is there; the text has to outlive that. It stays modified until it is taken: there
      -- may be no answer.
      vim.bo[buffer].bufhidden = 'hide'
      local tick = vim.api.nvim_buf_get_changedtick(buffer)
      vim.schedule(function()
        done(hunk.id, text == line_end and '' or text, function(taken)
          settle(buffer, tick, taken)
        end)
      end)
    end,
  })
end

--- Asks before what cannot be meant by accident.
function M.sure(question)
  return vim.fn.confirm(question, '&Yes\n&No', 2) == 1
end

local function is_untaken(buffer)
  return vim.bo[buffer].buftype == 'acwrite' and vim.bo[buffer].modified
end

local function buffers_of(task)
  return vim.tbl_filter(function(buffer)
    return vim.startswith(vim.api.nvim_buf_get_name(buffer), 'krins://' .. task .. '.')
  end, vim.api.nvim_list_bufs())
end

--- The ids of a task's hunks whose new lines somebody typed, and which the server has not taken.
function M.untaken(task)
  return vim.tbl_map(function(buffer)
    return vim.api.nvim_buf_get_name(buffer):match('[^.]*$')
  end, vim.tbl_filter(is_untaken, buffers_of(task)))
end

--- Closes what shows a task: its diff, its hunks that are being edited. What was typed there and is nowhere else stays.
function M.close(task)
  for _, buffer in ipairs(buffers_of(task)) do
    if not is_untaken(buffer) then
      vim.api.nvim_buf_delete(buffer, { force = true })
    end
  end
end

return M
