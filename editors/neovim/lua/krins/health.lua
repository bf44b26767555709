-- :checkhealth krins
local M = {}

function M.check()
  local health = vim.health
  health.start('krins')
  if vim.fn.has('nvim-0.10') == 1 then
    health.ok('Neovim ' .. tostring(vim.version()))
  else
    health.error('Neovim 0.10 or newer is needed')
  end
  local program = require('krins.client').options().cmd[1]
  local path = vim.fn.exepath(program)
  if path == '' then
    health.error(('%s is not on PATH'):format(program), { 'cargo install --path server/krins-server', "or require('krins').setup({ cmd = { '/path/to/krins', 'lsp', '--stdio' } })" })
  else
    local answer = vim.system({ path, '--version' }, { text = true, timeout = 5000 }):wait()
    if answer.code == 0 then
      health.ok(('%s: %s'):format(path, vim.trim(answer.stdout)))
    else
      health.error(('%s --version failed: %s'):format(path, vim.trim(answer.stderr or '')))
    end
  end
  local clients = vim.lsp.get_clients({ name = 'krins' })
  if #clients == 0 then
    health.warn('no server is running', { 'open a file of a project', ':LspLog, or the file ' .. vim.lsp.log.get_filename() })
  end
  for _, client in ipairs(clients) do
    health.ok(('a server runs for %s (positions in %s)'):format(client.config.root_dir or '?', client.offset_encoding))
  end
end

return M
