-- :checkhealth krins
local M = {}

--- The protocol's major version that this plugin speaks.
local PROTOCOL = 1

--- The program may stand behind another one: what is asked for its version is the whole command as it is started, up to Krins' own
--- words, wherever it was configured.
local function program(health, client)
  local asked = client.program({ '--version' })
  if not asked then
    health.info('the server is started by a function, whose program is not looked at')
    return
  end
  local path = vim.fn.exepath(asked[1])
  if path == '' then
    health.error(('%s is not on PATH'):format(asked[1]), { 'cargo install --path server/krins-server', "or require('krins').setup({ cmd = { '/path/to/krins', 'lsp', '--stdio' } })" })
    return
  end
  local words = table.concat(asked, ' ')
  asked[1] = path
  local answer = vim.system(asked, { text = true, timeout = 5000 }):wait()
  local said = vim.trim(answer.stdout or '')
  if answer.code ~= 0 then
    health.error(('%s failed: %s'):format(words, vim.trim(answer.stderr or '')))
  elseif said:find('^krins ') then
    health.ok(('%s: %s'):format(#asked > 2 and words or path, said))
  else
    health.error(('%s is not answered by krins: %s'):format(words, vim.split(said, '\n')[1]), { 'everything before `lsp` in `cmd` has to lead to the krins program' })
  end
end

local function ask(server, method)
  local request = vim.fn.has('nvim-0.11') == 1 and function(...)
    return server:request_sync(...)
  end or server.request_sync
  local answer = request(method, vim.empty_dict(), 5000, 0)
  return answer and answer.result
end

local function server(health, running)
  health.ok(('a server runs for %s (positions in %s)'):format(running.config.root_dir or '?', running.offset_encoding))
  local said = (running.server_capabilities.experimental or {}).krins or {}
  if said.protocol ~= PROTOCOL then
    health.error(('the server speaks protocol %s, this plugin %d'):format(said.protocol or '?', PROTOCOL), { 'install program and plugin of one version' })
  end
  local status = ask(running, 'krins/status')
  if not status then
    health.warn('the server does not answer', { 'the log: ' .. vim.lsp.log.get_filename() })
    return
  end
  local keyless = status.provider == 'builtin' and ': keyless, rename, move and the like; `krins doctor` says how to add a model' or ''
  health.ok(('krins %s answers; asked is %s/%s%s'):format(status.version, status.provider, status.model, keyless))
  for _, route in ipairs(status.routes or {}) do
    if route.state ~= 'closed' then
      health.warn(('%s is %s%s'):format(route.route, route.state, route.cause and (': it ' .. route.cause) or ''))
    end
  end
end

function M.check()
  local health = vim.health
  local client = require('krins.client')
  health.start('krins')
  if vim.fn.has('nvim-0.10') == 1 then
    health.ok('Neovim ' .. tostring(vim.version()))
  else
    health.error('Neovim 0.10 or newer is needed')
  end
  program(health, client)
  local clients = vim.lsp.get_clients({ name = 'krins' })
  if #clients == 0 then
    health.warn('no server is running', { 'open a file of a project', ':LspLog, or the file ' .. vim.lsp.log.get_filename() })
  end
  for _, running in ipairs(clients) do
    server(health, running)
  end
end

return M
