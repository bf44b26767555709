-- The configuration of the README for Neovim 0.11 and newer, as it stands there, without the plugin: the command, the code actions.
-- `krins` is on PATH.
--   APP=/a/copy/of/fixtures/todo-app nvim --headless -u NONE -i NONE -n -c 'luafile editors/neovim/test/five_lines.lua'
-- Prints one line for each promise and ends with a failure status when one is broken.
local app = assert(vim.env.APP, 'APP is a copy of fixtures/todo-app')
local here = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2))
package.path = here .. '/?.lua;' .. package.path
local t = require('promises')

vim.notify = t.note

--- The block of the README that begins with `vim.lsp.config`.
local function configuration()
  local file = assert(io.open(vim.fs.dirname(here) .. '/README.md'))
  local readme = file:read('a')
  file:close()
  return assert(readme:match('```lua\n(vim%.lsp%.config.-)```'), 'the README has a configuration')
end

--- Chooses by title, as a person does in the menu.
local wanted
vim.ui.select = function(items, options, choose)
  for index, item in ipairs(items) do
    if (options.format_item or tostring)(item):find(wanted) then
      return choose(item, index)
    end
  end
  choose(nil)
end

local function action(title)
  wanted = title
  vim.lsp.buf.code_action()
end

t.run(function()
  local text = configuration()
  t.check('the configuration has five lines', select(2, text:gsub('\n', '')) == 5)
  assert(loadstring(text))()
  vim.cmd.cd(app)
  vim.cmd('filetype on')
  vim.cmd.edit(app .. '/src/store/selectors.ts')
  t.eventually('the server starts for a file', function()
    local client = vim.lsp.get_clients({ name = 'krins' })[1]
    return client and client.initialized
  end)
  local buffer, stats = vim.api.nvim_get_current_buf(), t.read('src/stats.ts')
  local function buffer_text()
    return table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n')
  end
  local before = buffer_text()
  local messages = {}
  vim.lsp.handlers['window/showMessage'] = function(_, result)
    messages[#messages + 1] = result.message
    return vim.NIL
  end
  local function told(pattern)
    return function()
      return table.concat(messages, '\n'):find(pattern) ~= nil
    end
  end
  vim.cmd('Krins assign {"intent": "rename calculateProgress to completionRate"}')
  t.eventually('the command asks, and it is said when it is ready', told('is ready'))
  local roots = vim.tbl_map(function(client)
    return client.root_dir or 'no root'
  end, vim.lsp.get_clients())
  t.check('an unnamed buffer starts no server: ' .. table.concat(roots, ', '), #roots == 1)
  t.check('nothing is written before the word', t.read('src/stats.ts') == stats and buffer_text() == before)
  vim.cmd('Krins showDiff')
  t.eventually('the diff opens', function()
    return vim.api.nvim_buf_get_name(0):find('%.diff$') ~= nil
  end)
  vim.cmd.buffer({ args = { tostring(buffer) }, bang = true })
  vim.fn.search('import { calculateProgress')
  t.eventually('each place carries a diagnostic', function()
    return #vim.diagnostic.get(buffer) > 1
  end)
  local function offered(title)
    return function()
      local client = vim.lsp.get_clients({ name = 'krins' })[1]
      local params = vim.lsp.util.make_range_params(0, client.offset_encoding)
      params.context = { diagnostics = {} }
      local answer = client:request_sync('textDocument/codeAction', params, 5000, buffer)
      return vim.iter(answer and answer.result or {}):any(function(each)
        return each.title:find(title) ~= nil
      end)
    end
  end
  action('reject this hunk')
  t.eventually('a hunk is rejected by a code action', offered('take back the rejection'))
  action('take back the rejection')
  t.eventually('and taken back', offered('reject this hunk'))
  vim.cmd('Krins apply')
  t.eventually('apply changes the open buffer', function()
    return buffer_text():find('import { completionRate', 1, true) ~= nil
  end)
  t.eventually('and the closed file', function()
    return t.read('src/stats.ts'):find('completionRate', 1, true) ~= nil
  end)
  t.eventually('and says what is not saved', told('unsaved'))
  vim.cmd('Krins undo')
  t.eventually('undo gives both back', function()
    return t.read('src/stats.ts') == stats and buffer_text() == before
  end)
end)
