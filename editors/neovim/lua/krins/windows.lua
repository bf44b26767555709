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

--- The buffer in a window below, or in the window that shows it.
function M.split(name, lines, filetype)
  local buffer = M.buffer(name, lines, filetype)
  local window = vim.fn.bufwinid(buffer)
  if window == -1 then
    vim.cmd('botright split')
    vim.api.nvim_win_set_buf(0, buffer)
  else
    vim.api.nvim_set_current_win(window)
  end
  return buffer
end

--- A list that `gF` walks and `q` closes.
function M.list(name, filetype, lines)
  local buffer = M.split(name, lines, filetype)
  M.map(buffer, 'q', '<Cmd>close<CR>', 'close')
  return buffer
end

function M.map(buffer, lhs, action, description)
  vim.keymap.set('n', lhs, action, { buffer = buffer, nowait = true, silent = true, desc = 'krins: ' .. description })
end

--- What may stand in a winbar or a status line as it is.
function M.plain(text)
  return (text:gsub('%%', '%%%%'):gsub('[%c]', ' '))
end

function M.knows_hunks(buffer, find)
  hunk_at[buffer] = find
  vim.api.nvim_create_autocmd('BufWipeout', {
    buffer = buffer,
    once = true,
    callback = function()
      hunk_at[buffer] = nil
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

--- A hunk's new lines, to be changed: writing the buffer makes them the truth.
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
  if open ~= -1 and vim.bo[open].modified and vim.fn.bufwinid(open) ~= -1 then
    -- What was typed there is not written yet.
    vim.api.nvim_set_current_win(vim.fn.bufwinid(open))
    return
  end
  local buffer = M.split(name, lines)
  vim.bo[buffer].buftype = 'acwrite'
  vim.bo[buffer].modifiable = true
  vim.bo[buffer].modified = false
  vim.wo.winbar = ('krins: the new lines of %s  (:w takes them, :q! leaves them)'):format(hunk.id)
  vim.api.nvim_create_autocmd('BufWriteCmd', {
    group = vim.api.nvim_create_augroup('krins.edit.' .. buffer, {}),
    buffer = buffer,
    callback = function()
      local written = vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
      local text = table.concat(written, line_end) .. line_end
      vim.bo[buffer].modified = false
      vim.schedule(function()
        if vim.api.nvim_buf_is_valid(buffer) then
          vim.api.nvim_buf_delete(buffer, { force = true })
        end
        done(hunk.id, text == line_end and '' or text)
      end)
    end,
  })
end

--- Closes what shows a task: its diff, its hunks that are being edited.
function M.close(task)
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.startswith(vim.api.nvim_buf_get_name(buffer), 'krins://' .. task .. '.') then
      vim.api.nvim_buf_delete(buffer, { force = true })
    end
  end
end

return M
