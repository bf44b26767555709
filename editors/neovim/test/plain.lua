-- The journey without the plugin, by what any Neovim since 0.7 knows: code actions, commands, and its own `workspace/applyEdit`.
--   KRINS=/path/to/krins APP=/a/copy/of/fixtures/todo-app nvim --headless -u NONE -i NONE -n -c 'luafile editors/neovim/test/plain.lua'
-- With SLOW=1 the model behind it never answers (the settings say so), and the task is cancelled instead.
-- Prints one line for each promise and ends with a failure status when one is broken.
local app = assert(vim.env.APP, 'APP is a copy of fixtures/todo-app')
package.path = vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':h') .. '/?.lua;' .. package.path
local t = require('promises')
local check, eventually, read = t.check, t.eventually, t.read

local client, buffer

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
  for _, each in ipairs(call('textDocument/codeAction', params) or {}) do
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

local function start()
  vim.cmd('cd ' .. app)
  vim.cmd('edit ' .. app .. '/src/store/selectors.ts')
  local id = vim.lsp.start_client({
    name = 'krins',
    cmd = { assert(vim.env.KRINS, 'KRINS is the program'), 'lsp', '--stdio' },
    root_dir = app,
    handlers = {
      ['window/showMessage'] = function(_, result)
        t.note(result.message)
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
end

local function ask(words)
  vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// krins: ' .. words })
  vim.api.nvim_win_set_cursor(0, { 1, 0 })
  choose('a comment is a task', 'Krins: ' .. words:sub(1, 20))
end

local function journey()
  local stats = read('src/stats.ts')
  ask('rename calculateProgress to completionRate')
  local before = buffer_text()
  choose('the proposal is offered', 'Krins: show the diff')
  eventually('the diff is opened, or where it is is said', function()
    return vim.api.nvim_get_current_buf() ~= buffer or t.said('%.diff')
  end)
  vim.cmd('buffer! ' .. buffer)
  check('nothing is written before the word', read('src/stats.ts') == stats and buffer_text() == before)
  vim.fn.search('import { calculateProgress')
  choose('a hunk can be rejected where it stands', 'Krins: reject this hunk')
  choose('and that can be taken back', 'Krins: take back the rejection')
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
end

local function cancel()
  local stats = read('src/stats.ts')
  ask('sort the views by name')
  local before = buffer_text()
  eventually('it is said that somebody is at work', function()
    return t.said('working on')
  end)
  choose('a running task can be cancelled', 'Krins: cancel')
  eventually('and that it was cancelled', function()
    return t.said('was cancelled')
  end)
  vim.wait(300)
  check('nothing was written', buffer_text() == before and read('src/stats.ts') == stats)
  check('nothing is left to cancel', action('Krins: cancel') == nil)
end

t.run(function()
  start();
  (vim.env.SLOW and cancel or journey)()
  vim.lsp.stop_client(client.id)
end)
