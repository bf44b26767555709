-- The command. Nothing is loaded before it runs, except the server's start for a file (see `krins.client`).
if vim.g.loaded_krins then
  return
end
vim.g.loaded_krins = true

if vim.fn.has('nvim-0.10') == 0 then
  vim.notify('krins needs Neovim 0.10 or newer; see editors/neovim/README.md', vim.log.levels.WARN)
  return
end

vim.api.nvim_create_user_command('Krins', function(call)
  require('krins.command').run(call)
end, {
  nargs = '*',
  range = true,
  complete = function(lead, line, at)
    return require('krins.command').complete(lead, line, at)
  end,
  desc = 'Say what to change, review it, apply it',
})

for name, action in pairs({ next = 'jump(1)', prev = 'jump(-1)', accept = 'accept()', reject = 'reject()', edit = 'edit()', hunk = 'hunk()' }) do
  vim.keymap.set('n', ('<Plug>(krins-%s)'):format(name), ("<Cmd>lua require('krins').%s<CR>"):format(action), { desc = 'krins: ' .. name })
end

require('krins.client').start()
