-- A task that takes long is followed and cancelled, and its server dies, with the plugin. The model behind it never answers (the
-- settings say so):
--   KRINS=… APP=… nvim --headless -u NONE -i NONE -n --cmd 'set rtp^=editors/neovim' -c 'luafile editors/neovim/test/cancel.lua'
-- Prints one line for each promise and ends with a failure status when one is broken.
local app = assert(vim.env.APP, 'APP is a copy of fixtures/todo-app')
package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
local t = require('promises')

vim.notify = t.note

t.run(function()
  local progress = {}
  vim.api.nvim_create_autocmd('LspProgress', {
    callback = function(event)
      local params = event.data.params or event.data.result
      progress[#progress + 1] = params.value.kind
    end,
  })
  require('krins').setup({ cmd = { assert(vim.env.KRINS, 'KRINS is the program'), 'lsp', '--stdio' } })
  vim.cmd('runtime plugin/krins.lua')
  vim.cmd.cd(app)
  vim.cmd('filetype on')
  vim.cmd.edit(app .. '/src/store/selectors.ts')
  t.eventually('the server starts for a file', function()
    local client = vim.lsp.get_clients({ name = 'krins' })[1]
    return client and client.initialized
  end)
  local before = t.read('src/store/selectors.ts')
  vim.cmd('Krins sort the views by name')
  t.eventually('the status line says that it is asked', function()
    return require('krins').statusline():find('krins: ask') ~= nil
  end)
  t.eventually('the progress is an event', function()
    return vim.tbl_contains(progress, 'begin')
  end)
  t.check('the task can be completed', #vim.fn.getcompletion('Krins cancel ', 'cmdline') == 1)
  vim.cmd('Krins cancel')
  t.eventually('cancel is confirmed', function()
    return t.said('cancelled; nothing was written')
  end)
  t.eventually('the progress ends', function()
    return vim.tbl_contains(progress, 'end')
  end)
  vim.wait(300)
  t.check('nothing is at work, nothing is written', require('krins').statusline() == '' and t.read('src/store/selectors.ts') == before)
  t.check('what was cancelled is no error', not t.said('failed'))

  vim.cmd('Krins sort the views by length')
  t.eventually('another task is at work', function()
    return require('krins').statusline():find('krins: ask') ~= nil
  end)
  local children = vim.api.nvim_get_proc_children(vim.fn.getpid())
  t.check('the server is the one child', #children == 1)
  ;(vim.uv or vim.loop).kill(children[1], 'sigkill')
  t.eventually('a server that dies is said to have, with what it was at work on', function()
    return t.said('the server has ended') and t.said('sort the views by length')
  end)
  t.check('the status line says no more that something is asked', require('krins').statusline() == '')
  t.forget_notices()
  vim.cmd('Krins status')
  t.eventually('the next word starts it again', function()
    return t.said('fake/fake%-model')
  end)
  t.check('and nothing is at work there', require('krins').statusline() == '')
end)
