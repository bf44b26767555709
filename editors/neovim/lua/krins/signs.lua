-- Signs where a waiting proposal would change the files that are open: a sign for each line, the hunk's id behind its first.
local tasks = require('krins.tasks')

local M = {}

local marks = vim.api.nvim_create_namespace('krins.signs')

local looks = {
  open = { 'k', 'DiagnosticSignInfo' },
  accepted = { 'k', 'DiagnosticSignOk' },
  edited = { 'k', 'DiagnosticSignHint' },
  rejected = { 'x', 'DiagnosticSignWarn' },
}

--- By how many lines a hunk makes its file longer.
local function growth(hunk)
  local lines = 0
  for _, line in ipairs(hunk.lines) do
    local mark = line:sub(1, 1)
    lines = lines + (mark == '+' and 1 or mark == '-' and -1 or 0)
  end
  return lines
end

--- By buffer, by mark: { task, hunk, line, first, stop }, where it was placed.
local placed = {}
--- The proposal that is shown.
local shown

local function path_of(buffer)
  local name = vim.api.nvim_buf_get_name(buffer)
  return name ~= '' and vim.bo[buffer].buftype == '' and vim.fn.fnamemodify(name, ':p') or nil
end

local function clear(buffer)
  if vim.api.nvim_buf_is_valid(buffer) then
    vim.api.nvim_buf_clear_namespace(buffer, marks, 0, -1)
  end
  placed[buffer] = nil
end

--- By hunk of the proposal that is shown: its mark as it was placed, and where that stands now; what is typed or applied moves it.
--- Nothing where two stand on one line: then the text they stood in was replaced as a whole.
local function standing(buffer)
  local known, lines = {}, {}
  for id, mark in pairs(placed[buffer] or {}) do
    local at = vim.api.nvim_buf_get_extmark_by_id(buffer, marks, id, { details = true })
    if mark.task == shown.task and at[1] then
      if lines[at[1]] then
        return {}
      end
      lines[at[1]] = true
      known[mark.hunk] = { mark = mark, first = at[1], stop = at[3].end_row }
    end
  end
  return known
end

local function place(buffer, hunks)
  local known = standing(buffer)
  clear(buffer)
  local last = vim.api.nvim_buf_line_count(buffer) - 1
  placed[buffer] = {}
  -- What is applied already stands in the file, and moves what comes behind it.
  local moved = 0
  for _, hunk in ipairs(hunks) do
    if hunk.applied then
      moved = moved + growth(hunk)
    else
      local word = tasks.verdict(hunk)
      local first, stop = tasks.core(hunk)
      local mark = { task = shown.task, hunk = hunk.id, line = hunk.range.start.line, first = first, stop = stop }
      local now = known[hunk.id]
      if now and now.mark.line == mark.line then
        -- An edit may have changed how far it reaches.
        first, stop = now.first + first - now.mark.first, now.stop + stop - now.mark.stop
      else
        first, stop = first + moved, stop + moved
      end
      first = math.max(math.min(first, last), 0)
      local id = vim.api.nvim_buf_set_extmark(buffer, marks, first, 0, {
        end_row = math.max(math.min(stop, last), first),
        end_right_gravity = true,
        sign_text = looks[word][1],
        sign_hl_group = looks[word][2],
        virt_text = { { ('krins %s%s'):format(hunk.id, word == 'open' and '' or ' ' .. word), 'Comment' } },
        virt_text_pos = 'eol',
        hl_mode = 'combine',
        strict = false,
      })
      placed[buffer][id] = mark
    end
  end
end

--- Places the signs of the proposal in a buffer that belongs to it.
function M.refresh(buffer)
  local path = shown and path_of(buffer)
  for _, file in ipairs(path and shown.files or {}) do
    -- By name: how much of a URI is escaped differs.
    if file.kind ~= 'create' and vim.uri_to_fname(file.uri) == path then
      place(buffer, file.hunks)
      return
    end
  end
  if placed[buffer] then
    clear(buffer)
  end
end

--- Signs for files that are opened while a proposal waits.
local function follow()
  local group = vim.api.nvim_create_augroup('krins.signs', {})
  vim.api.nvim_create_autocmd('BufReadPost', {
    group = group,
    callback = function(event)
      -- What is read anew is what the file is, wherever the marks stood.
      clear(event.buf)
      M.refresh(event.buf)
    end,
  })
  vim.api.nvim_create_autocmd('BufWipeout', {
    group = group,
    callback = function(event)
      placed[event.buf] = nil
    end,
  })
end

--- Shows this proposal in every open buffer, or none.
function M.show(diff)
  shown = diff
  follow()
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) then
      M.refresh(buffer)
    end
  end
end

--- The task whose signs are shown.
function M.task()
  return shown and shown.task
end

--- Task and id of the hunk whose signs stand at the cursor.
function M.hunk_under_cursor()
  local buffer = vim.api.nvim_get_current_buf()
  if not shown or not placed[buffer] then
    return
  end
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(buffer, marks, 0, -1, { details = true })) do
    if mark[2] <= row and row <= (mark[4].end_row or mark[2]) then
      return shown.task, placed[buffer][mark[1]].hunk
    end
  end
end

--- Moves the cursor to the next or previous hunk; false when this buffer has none that way.
function M.jump(step)
  local buffer = vim.api.nvim_get_current_buf()
  local row, target = vim.api.nvim_win_get_cursor(0)[1] - 1, nil
  for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(buffer, marks, 0, -1, {})) do
    if step > 0 and mark[2] > row then
      target = target or mark[2]
    elseif step < 0 and mark[2] < row then
      target = mark[2]
    end
  end
  if target then
    vim.cmd("normal! m'")
    vim.api.nvim_win_set_cursor(0, { target + 1, 0 })
  end
  return target ~= nil
end

return M
