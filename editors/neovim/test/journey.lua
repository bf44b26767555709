-- The whole journey in a headless Neovim, against a real server:
--   KRINS=/path/to/krins APP=/a/copy/of/fixtures/todo-app nvim --headless -u NONE -i NONE -n --cmd 'set rtp^=editors/neovim' -c 'luafile editors/neovim/test/journey.lua'
-- Prints one line for each promise and ends with a failure status when one is broken.
local app = assert(vim.env.APP, 'APP is a copy of fixtures/todo-app')
local failures, notices = 0, {}

vim.notify = function(text)
  notices[#notices + 1] = text
end

local function out(text)
  io.stdout:write(text .. '\n')
end

local function check(promise, holds)
  if not holds then
    failures = failures + 1
  end
  out((holds and 'ok - ' or 'not ok - ') .. promise)
end

local function eventually(promise, condition)
  check(promise, (vim.wait(15000, condition, 20)))
end

local function read(path)
  local file = assert(io.open(app .. '/' .. path, 'rb'))
  local text = file:read('a')
  file:close()
  return text
end

local function buffer_text(path)
  return table.concat(vim.api.nvim_buf_get_lines(vim.fn.bufnr(app .. '/' .. path), 0, -1, false), '\n')
end

local function said(pattern)
  return vim.iter(notices):any(function(text)
    return text:find(pattern) ~= nil
  end)
end

local function diff_open()
  return vim.bo.filetype == 'diff' and vim.api.nvim_buf_get_name(0):find('krins://', 1, true) ~= nil
end

local function journey()
  require('krins').setup({ cmd = { assert(vim.env.KRINS, 'KRINS is the program'), 'lsp', '--stdio' } })
  vim.cmd('runtime plugin/krins.lua')
  vim.cmd.cd(app)
  local selectors_before, stats_before = read('src/store/selectors.ts'), read('src/stats.ts')
  vim.cmd('filetype on')
  vim.cmd.edit(app .. '/src/store/selectors.ts')
  eventually('the server starts for a file', function()
    local client = vim.lsp.get_clients({ name = 'krins' })[1]
    return client and client.initialized
  end)

  vim.cmd('KrinsContext rename calculateProgress to completionRate')
  eventually('the context is shown before anything is sent', function()
    return vim.bo.filetype == 'krins-context' and vim.api.nvim_buf_get_lines(0, 1, 2, false)[1]:find('nothing was sent') ~= nil
  end)
  vim.cmd.close()

  vim.cmd('Krins rename calculateProgress to completionRate')
  eventually('the proposal opens as a diff', diff_open)
  check('completion names its hunks', #require('krins').hunk_ids() > 1 and #vim.fn.getcompletion('KrinsApply ', 'cmdline') > 1)
  check('nothing is written before the word', read('src/stats.ts') == stats_before)
  vim.api.nvim_feedkeys('a', 'x', false)
  eventually('apply changes the open buffer', function()
    return buffer_text('src/store/selectors.ts'):find('completionRate', 1, true) ~= nil
  end)
  eventually('apply changes the closed file', function()
    return read('src/stats.ts'):find('completionRate', 1, true) ~= nil
  end)
  eventually('it says what is not saved', function()
    return said('not saved')
  end)
  check('the diff is closed', not diff_open())

  vim.cmd('KrinsUndo')
  eventually('undo gives the closed file back to the byte', function()
    return read('src/stats.ts') == stats_before
  end)
  eventually('undo gives the buffer back', function()
    return buffer_text('src/store/selectors.ts') .. '\n' == selectors_before
  end)
  vim.cmd('silent! wall')
  check('the saved buffer is the old file to the byte', read('src/store/selectors.ts') == selectors_before)

  vim.cmd('Krins rename calculateProgress to completionRate')
  eventually('a second proposal opens', diff_open)
  vim.fn.search('^+')
  vim.api.nvim_feedkeys('e', 'x', false)
  check('a hunk opens with its new lines', vim.fn.search('completionRate') > 0 and vim.fn.search('calculateProgress') == 0)
  vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// mine' })
  vim.cmd('write')
  eventually('what a person writes stands in the diff', function()
    return diff_open() and vim.fn.search('^+// mine', 'w') > 0
  end)
  vim.api.nvim_feedkeys('D', 'x', false)
  eventually('discard closes it and writes nothing', function()
    return not diff_open() and read('src/stats.ts') == stats_before
  end)

  notices = {}
  vim.cmd('Krins make the sky blue')
  eventually('what is not understood is an error with a hint, not a guess', function()
    return said('krins: ')
  end)

  vim.cmd('checkhealth krins')
  local health = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
  check('checkhealth finds the program and the server', health:find('a server runs') ~= nil and health:find('ERROR') == nil)
end

local function run()
  local ok, err = pcall(journey)
  if not ok then
    failures = failures + 1
    out('not ok - ' .. tostring(err))
  end
  for _, text in ipairs(failures > 0 and notices or {}) do
    out('# ' .. text:gsub('\n', '\n# '))
  end
  vim.cmd(failures == 0 and 'qall!' or 'cquit 1')
end

-- As a person would: after the start, when `vim.lsp.enable` looks at what is open.
vim.api.nvim_create_autocmd('VimEnter', { once = true, callback = vim.schedule_wrap(run) })
