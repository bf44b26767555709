-- The commands. Nothing is loaded before one of them runs, except the server's start for a file (see `krins.client`).
if vim.g.loaded_krins then
  return
end
vim.g.loaded_krins = true

if vim.fn.has('nvim-0.10') == 0 then
  vim.notify('krins needs Neovim 0.10 or newer; see editors/neovim/README.md', vim.log.levels.WARN)
  return
end

local function command(name, action, options)
  vim.api.nvim_create_user_command(name, function(call)
    require('krins')[action](call)
  end, options)
end

local function complete(kind)
  return function(lead, line)
    return require('krins.complete')[kind](lead, line)
  end
end

command('Krins', 'assign', { nargs = '*', range = true, complete = complete('intent'), desc = 'Say what to change' })
command('KrinsContext', 'context', { nargs = '*', range = true, complete = complete('intent'), desc = 'Show what would be sent' })
command('KrinsDiff', 'diff', { nargs = '?', complete = complete('task'), desc = 'Show the proposal' })
command('KrinsApply', 'apply', { nargs = '*', complete = complete('hunk'), desc = 'Apply the proposal, or only these hunks' })
command('KrinsDiscard', 'discard', { nargs = '?', complete = complete('task'), desc = 'Forget the proposal' })
command('KrinsCancel', 'cancel', { nargs = '?', complete = complete('task'), desc = 'Cancel the running task' })
command('KrinsUndo', 'undo', { nargs = '?', desc = "Undo Krins' last change" })
command('KrinsRedo', 'redo', { nargs = '?', desc = "Redo Krins' last change" })
command('KrinsStatus', 'status', { desc = 'Provider, model, index, cache' })

require('krins.client').start()
