-- The journey without the plugin, by what any Neovim since 0.7 knows: code actions, commands, and its own `workspace/applyEdit`.
--   KRINS=/path/to/krins APP=/a/copy/of/fixtures/todo-app nvim --headless -u NONE -i NONE -n -c 'luafile editors/neovim/test/plain.lua'
-- Prints one line for each promise and ends with a failure status when one is broken.
local app = assert(vim.env.APP, 'APP is a copy of fixtures/todo-app')
local failures, notices, offered = 0, {}, {}
local client, buffer

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
  check(promise, (vim.wait(15000, condition, 50)))
end

local function read(path)
  local file = assert(io.open(app .. '/' .. path, 'rb'))
  local text = file:read('*a')
  file:close()
  return text
end

local function buffer_text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n') .. '\n'
end

local function call(method, params)
  -- Since 0.11 a client's functions are methods.
  local request = vim.fn.has('nvim-0.11') == 1 and function(...)
    return client:request_sync(...)
  end or client.request_sync
  local answer, why = request(method, params, 5000, buffer)
  if not answer or answer.err then
    error(method .. ': ' .. vim.inspect(answer and answer.err or why))
  end
  return answer.result
end

-- The first code action at the cursor whose title matches.
local function action(pattern)
  local params = vim.lsp.util.make_range_params(0, 'utf-16')
  params.context = { diagnostics = {} }
  offered = call('textDocument/codeAction', params) or {}
  for _, each in ipairs(offered) do
    if each.title:find(pattern) then
      return each
    end
  end
end

local function choose(promise, pattern)
  local found
  eventually(promise, function()
    found = action(pattern)
    return found ~= nil
  end)
  -- A bare command, or a code action that carries one.
  local command = type(found.command) == 'table' and found.command or found
  call('workspace/executeCommand', { command = command.command, arguments = command.arguments })
end

local function journey()
  vim.cmd('cd ' .. app)
  vim.cmd('edit ' .. app .. '/src/store/selectors.ts')
  local stats = read('src/stats.ts')
  local id = vim.lsp.start_client({
    name = 'krins',
    cmd = { assert(vim.env.KRINS, 'KRINS is the program'), 'lsp', '--stdio' },
    root_dir = app,
    handlers = {
      ['window/showMessage'] = function(_, result)
        notices[#notices + 1] = result.message
        return vim.NIL
      end,
    },
  })
  client, buffer = vim.lsp.get_client_by_id(id), vim.api.nvim_get_current_buf()
  vim.lsp.buf_attach_client(buffer, id)
  eventually('the server starts for a file', function()
    client = vim.lsp.get_client_by_id(id)
    return client ~= nil and client.server_capabilities ~= nil and client.server_capabilities.executeCommandProvider ~= nil
  end)

  vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// krins: rename calculateProgress to completionRate' })
  vim.api.nvim_win_set_cursor(0, { 1, 0 })
  local before = buffer_text()
  choose('a comment is a task', 'Krins: rename')
  choose('the proposal is offered', 'Krins: show the diff')
  eventually('the diff is opened, or where it is is said', function()
    return vim.api.nvim_get_current_buf() ~= buffer or table.concat(notices, '\n'):find('%.diff') ~= nil
  end)
  vim.cmd('buffer! ' .. buffer)
  check('nothing is written before the word', read('src/stats.ts') == stats and buffer_text() == before)
  choose('apply is offered', 'Krins: apply the change')
  eventually('apply changes the open buffer', function()
    return buffer_text():find('import { completionRate', 1, true) ~= nil
  end)
  eventually('apply changes the closed file', function()
    return read('src/stats.ts'):find('completionRate', 1, true) ~= nil
  end)
  check('the file of the open buffer is left to the person', read('src/store/selectors.ts'):find('completionRate', 1, true) == nil)
  choose('undo is offered', 'Krins: undo')
  eventually('undo gives the closed file back to the byte', function()
    return read('src/stats.ts') == stats
  end)
  eventually('undo gives the buffer back', function()
    return buffer_text() == before
  end)
  vim.lsp.stop_client(id)
end

local function run()
  local ok, err = pcall(journey)
  if not ok then
    failures = failures + 1
    out('not ok - ' .. tostring(err))
  end
  if failures > 0 then
    for _, each in ipairs(offered) do
      out('# offered: ' .. each.title)
    end
    for _, text in ipairs(notices) do
      out('# ' .. text:gsub('\n', '\n# '))
    end
  end
  vim.cmd(failures == 0 and 'qall!' or 'cquit 1')
end

vim.api.nvim_create_autocmd('VimEnter', { once = true, callback = vim.schedule_wrap(run) })
