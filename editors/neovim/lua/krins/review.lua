-- A proposal side by side, in Neovim's own diff mode: a tab with what a file is and what it would be, file after file. The right side
-- holds what an apply would make of it: a rejected hunk is not in it, an edited one is as the person wrote it.
local tasks = require('krins.tasks')
local windows = require('krins.windows')

local M = {}

local marks = vim.api.nvim_create_namespace('krins.review')

local help = 'a accept  x reject  e edit  ]c [c hunk  ]f [f file  A apply  D discard  q close'

local looks = { open = { '?', 'DiagnosticSignInfo' }, accepted = { '+', 'DiagnosticSignOk' }, edited = { '~', 'DiagnosticSignHint' }, rejected = { 'x', 'DiagnosticSignWarn' }, applied = { '=', 'DiagnosticSignOk' } }

--- The open review: { task, actions, diff, at, tab, left, right, buffers, places }.
local open

--- Whether both sides are still where they were shown. A window that shows something else is the person's again.
local function is_whole(review)
  for _, side in ipairs({ 'left', 'right' }) do
    local window = review[side]
    if not (window and vim.api.nvim_win_is_valid(window) and vim.api.nvim_win_get_buf(window) == review.buffers[side]) then
      return false
    end
  end
  return true
end

local line_ends = { unix = '\n', dos = '\r\n', mac = '\r' }

--- A buffer's text as the server was told it.
local function buffer_text(buffer)
  local line_end = line_ends[vim.bo[buffer].fileformat]
  local text = table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), line_end)
  return vim.bo[buffer].eol and text .. line_end or text
end

local function disk_text(path)
  local file = io.open(path, 'rb')
  local text = file and file:read('a')
  if file then
    file:close()
  end
  return text
end

local function lines_of(text)
  local lines = vim.split(text, '\n', { plain = true })
  if lines[#lines] == '' then
    lines[#lines] = nil
  end
  return lines
end

--- The lines that a file's hunks are about, or nothing when the file is not what it was then.
function M.base(diff, file)
  if file.kind == 'create' then
    return {}
  end
  local uri = file.from or file.uri
  local wanted
  for _, base in ipairs(diff.base) do
    if base.uri == uri then
      wanted = base.sha256
    end
  end
  local path = vim.uri_to_fname(uri)
  local buffer = vim.fn.bufnr('^' .. vim.fn.escape(path, '[]*?^$.\\{},') .. '$')
  local texts = { buffer ~= -1 and vim.api.nvim_buf_is_loaded(buffer) and buffer_text(buffer) or nil }
  texts[#texts + 1] = disk_text(path)
  for _, text in ipairs(texts) do
    if wanted and vim.fn.sha256(text) == wanted then
      return lines_of(text)
    end
  end
end

--- What an apply would make of these lines, and where each hunk begins then, and began: { [id] = { first, base_first } }, 0-based.
function M.proposed(base, hunks)
  local lines, places, at = {}, {}, 0
  for _, hunk in ipairs(hunks) do
    while at < hunk.range.start.line do
      at = at + 1
      lines[#lines + 1] = base[at]
    end
    local first, base_first
    for _, line in ipairs(hunk.lines) do
      local mark, text = line:sub(1, 1), line:sub(2)
      if mark == '-' or mark == '+' then
        first, base_first = first or #lines, base_first or at
      end
      if mark == ' ' or mark == '-' then
        at = at + 1
      end
      if mark == ' ' or mark == (hunk.verdict == 'reject' and '-' or '+') then
        lines[#lines + 1] = text
      end
    end
    places[hunk.id] = { first = first or #lines, base_first = base_first or at }
  end
  vim.list_extend(lines, base, at + 1)
  return lines, places
end

local function file_of(diff, id)
  for index, file in ipairs(diff.files) do
    for _, hunk in ipairs(file.hunks) do
      if hunk.id == id then
        return index
      end
    end
  end
end

local function mark(buffer, hunks, row_of)
  vim.api.nvim_buf_clear_namespace(buffer, marks, 0, -1)
  local last = vim.api.nvim_buf_line_count(buffer) - 1
  for _, hunk in ipairs(hunks) do
    local word = tasks.verdict(hunk)
    vim.api.nvim_buf_set_extmark(buffer, marks, math.min(row_of(hunk.id), last), 0, {
      sign_text = looks[word][1],
      sign_hl_group = looks[word][2],
      virt_text = { { ('%s %s'):format(hunk.id, word), 'Comment' } },
    })
  end
end

local function hunk_at(side)
  local row, found = vim.api.nvim_win_get_cursor(0)[1] - 1, nil
  local hunks = open.diff.files[open.at].hunks
  for _, hunk in ipairs(hunks) do
    local place = open.places[hunk.id]
    local first = side == 'left' and place.base_first or place.first
    if first <= row then
      found = hunk.id
    end
  end
  return found or (hunks[1] and hunks[1].id)
end

local function jump(side, step)
  local row, target = vim.api.nvim_win_get_cursor(0)[1] - 1, nil
  for _, hunk in ipairs(open.diff.files[open.at].hunks) do
    local place = open.places[hunk.id]
    local first = side == 'left' and place.base_first or place.first
    if step > 0 and first > row then
      target = target or first
    elseif step < 0 and first < row then
      target = first
    end
  end
  if target then
    local last = vim.api.nvim_buf_line_count(0)
    vim.api.nvim_win_set_cursor(0, { math.min(target + 1, last), 0 })
  end
end

local function keys(buffer, side)
  local actions = open.actions
  for key, action in pairs({ a = 'accept', x = 'reject', e = 'edit', A = 'apply', D = 'discard' }) do
    windows.map(buffer, key, actions[action], action)
  end
  windows.map(buffer, 'q', M.close, 'close')
  for key, step in pairs({ [']c'] = 1, ['[c'] = -1 }) do
    windows.map(buffer, key, function()
      jump(side, step)
    end, step > 0 and 'next hunk' or 'previous hunk')
  end
  for key, step in pairs({ [']f'] = 1, ['[f'] = -1 }) do
    windows.map(buffer, key, function()
      M.turn(step)
    end, step > 0 and 'next file' or 'previous file')
  end
  windows.knows_hunks(buffer, function()
    if open then
      return open.task, hunk_at(side)
    end
  end)
end

local function bar(side)
  local file = open.diff.files[open.at]
  local path = windows.plain(vim.fn.fnamemodify(vim.uri_to_fname(file.uri), ':.'))
  if side == 'left' then
    return ('krins: %s  as it is'):format(path)
  end
  return ('file %d of %d, %s  (%s)'):format(open.at, #open.diff.files, file.kind, help)
end

--- Fills both sides with the file at `open.at`; false when it is not what it was, or a side is gone.
local function fill()
  local file = open.diff.files[open.at]
  local base = file and is_whole(open) and M.base(open.diff, file)
  if not base then
    return false
  end
  local lines, places = M.proposed(base, file.hunks)
  open.places = places
  if windows.all_dos(vim.list_extend(vim.deepcopy(base), lines)) then
    base, lines = windows.without_returns(base), windows.without_returns(lines)
  end
  local syntax = vim.filetype.match({ filename = vim.uri_to_fname(file.uri) }) or ''
  for side, text in pairs({ left = base, right = file.kind == 'delete' and {} or lines }) do
    local window, buffer = open[side], open.buffers[side]
    windows.refill(buffer, text)
    -- The file's type would start language servers on a text that is no file.
    vim.bo[buffer].syntax = syntax
    vim.wo[window].winbar = bar(side)
    mark(buffer, file.hunks, function(id)
      return side == 'left' and places[id].base_first or places[id].first
    end)
  end
  vim.api.nvim_win_call(open.right, function()
    vim.cmd('diffupdate')
  end)
  return true
end

local function made(side)
  local buffer = windows.buffer(('krins://%s.%s'):format(open.task, side), {})
  vim.api.nvim_win_set_buf(0, buffer)
  open.buffers[side] = buffer
  vim.wo.signcolumn = 'yes'
  vim.cmd('diffthis')
  keys(buffer, side)
  return vim.api.nvim_get_current_win()
end

--- One side alone is no review: when a window is closed, by whatever command, the other goes too.
local function end_with_a_window()
  local of_this = open
  vim.api.nvim_create_autocmd('WinClosed', {
    group = vim.api.nvim_create_augroup('krins.review', {}),
    pattern = { tostring(open.left), tostring(open.right) },
    callback = function()
      vim.schedule(function()
        if open == of_this then
          M.close()
        end
      end)
    end,
  })
end

--- Opens the review of a proposal, at a hunk when one is named; `quietly` without going there. False when a file is not what it was
--- then, and the diff has to do.
function M.open(diff, actions, at_hunk, quietly)
  M.close()
  if #diff.files == 0 then
    return false
  end
  for _, file in ipairs(diff.files) do
    if not M.base(diff, file) then
      return false
    end
  end
  local before = vim.api.nvim_get_current_tabpage()
  vim.cmd('tab split')
  open = { task = diff.task, diff = diff, actions = actions, at = at_hunk and file_of(diff, at_hunk) or 1, tab = vim.api.nvim_get_current_tabpage(), buffers = {} }
  open.left = made('left')
  vim.cmd('rightbelow vsplit')
  open.right = made('right')
  end_with_a_window()
  fill()
  local first = at_hunk and open.places[at_hunk] or open.places[diff.files[open.at].hunks[1] and diff.files[open.at].hunks[1].id or '']
  if first then
    vim.api.nvim_win_set_cursor(open.right, { math.min(first.first + 1, vim.api.nvim_buf_line_count(open.buffers.right)), 0 })
  end
  if quietly then
    vim.api.nvim_set_current_tabpage(before)
  end
  return true
end

--- The next or previous file.
function M.turn(step)
  if not open then
    return
  end
  open.at = (open.at - 1 + step) % #open.diff.files + 1
  if not fill() then
    vim.notify('krins: the file has changed since the proposal: :Krins diff shows the change alone', vim.log.levels.WARN)
    open.at = (open.at - 1 - step) % #open.diff.files + 1
    return
  end
  for _, window in ipairs({ open.left, open.right }) do
    vim.api.nvim_win_set_cursor(window, { 1, 0 })
  end
end

--- Shows what is decided now, when the review of this task is open.
function M.update(diff)
  if not open or open.task ~= diff.task then
    return
  end
  open.diff = diff
  open.at = math.min(open.at, #diff.files)
  if not fill() then
    M.close()
  end
end

function M.is_open(task)
  return open ~= nil and (not task or open.task == task) and is_whole(open)
end

--- Closes the windows that show the review, and no other.
function M.close()
  local closing = open
  open = nil
  for _, side in ipairs(closing and { 'left', 'right' } or {}) do
    local window = closing[side]
    if window and vim.api.nvim_win_is_valid(window) and vim.api.nvim_win_get_buf(window) == closing.buffers[side] then
      if not pcall(vim.api.nvim_win_close, window, true) then
        -- The last window that there is stays.
        vim.api.nvim_win_call(window, function()
          vim.cmd('diffoff')
          vim.cmd('enew')
        end)
      end
    end
  end
end

return M
