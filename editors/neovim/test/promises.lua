-- What the test files share: a line for each promise, waiting, and an end with a failure status when a promise is broken.
local M = {}

local failures, notices = 0, {}

function M.out(text)
  io.stdout:write(text .. '\n')
end

function M.check(promise, holds)
  if not holds then
    failures = failures + 1
  end
  M.out((holds and 'ok - ' or 'not ok - ') .. promise)
end

--- Fails only when it does not become true for a long time: machines are busy.
function M.eventually(promise, condition)
  M.check(promise, (vim.wait(30000, condition, 20)))
end

--- What was said to the person since `forget_notices`.
function M.said(pattern)
  for _, text in ipairs(notices) do
    if text:find(pattern) then
      return true
    end
  end
  return false
end

--- How often.
function M.count(pattern)
  return #vim.tbl_filter(function(text)
    return text:find(pattern) ~= nil
  end, notices)
end

function M.note(text)
  notices[#notices + 1] = text
end

function M.forget_notices()
  notices = {}
end

function M.read(path)
  local file = assert(io.open(vim.env.APP .. '/' .. path, 'rb'))
  local text = file:read('*a')
  file:close()
  return text
end

--- Presses keys, by their names.
function M.keys(text)
  vim.api.nvim_feedkeys(vim.api.nvim_replace_termcodes(text, true, false, true), 'x', false)
end

--- What the plugin has written beside a buffer's own text.
function M.virtual_text(buffer)
  local said = {}
  for name, namespace in pairs(vim.api.nvim_get_namespaces()) do
    if vim.startswith(name, 'krins.') then
      for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(buffer, namespace, 0, -1, { details = true })) do
        said[#said + 1] = mark[4].virt_text and mark[4].virt_text[1][1] or ''
      end
    end
  end
  return table.concat(said, '\n')
end

--- Runs after the start, as a person would: when `vim.lsp.enable` looks at what is open.
function M.run(journey)
  local function run()
    local ok, err = xpcall(journey, debug.traceback)
    if not ok then
      failures = failures + 1
      M.out('not ok - ' .. tostring(err))
    end
    for _, text in ipairs(failures > 0 and notices or {}) do
      M.out('# ' .. text:gsub('\n', '\n# '))
    end
    vim.cmd(failures == 0 and 'qall!' or 'cquit 1')
  end
  vim.api.nvim_create_autocmd('VimEnter', { once = true, callback = vim.schedule_wrap(run) })
end

return M
