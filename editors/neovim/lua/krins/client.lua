-- The language server: its configuration, its start, and requests to it. Hides what differs between Neovim 0.10 and newer.
local tasks = require('krins.tasks')

local M = {}

--- The server of the file that was last asked about.
local last

local defaults = {
  --- The program and its arguments.
  cmd = { 'krins', 'lsp', '--stdio' },
  --- Which files the server is started for; nil: all.
  filetypes = nil,
  root_markers = { '.krins', '.git', 'package.json' },
  --- Open the diff by itself when a proposal is ready: 'diff', 'review' (side by side) or false.
  open = 'diff',
  --- Signs in files that a waiting proposal would change.
  signs = true,
  --- Start the server by itself.
  autostart = true,
}

local options = vim.deepcopy(defaults)

function M.options()
  return options
end

function M.setup(given)
  for key in pairs(given or {}) do
    -- `filetypes` is nil by default and stands in no table.
    if defaults[key] == nil and key ~= 'filetypes' then
      error(('krins: there is no option %q (:help krins-setup)'):format(key), 0)
    end
  end
  options = vim.tbl_deep_extend('force', vim.deepcopy(defaults), given or {})
  if options.open == true then
    options.open = 'diff'
  end
  if vim.lsp.config then
    vim.lsp.config('krins', M.config())
  end
end

--- What `vim.lsp.config` and `vim.lsp.start` take.
function M.config()
  local function argument(command)
    return command.arguments and command.arguments[1] or {}
  end
  return {
    name = 'krins',
    cmd = options.cmd,
    filetypes = options.filetypes,
    root_markers = options.root_markers,
    -- A buffer that is no file gets no server.
    root_dir = vim.lsp.config and function(buffer, start)
      local root = M.root_of(buffer)
      if root then
        start(root)
      end
    end or nil,
    init_options = { krins = { client = { protocol = 1, minor = 0, features = { 'assign', 'diff', 'context', 'taskDidChange' } } } },
    handlers = {
      ['krins/task/didChange'] = function(_, status, context)
        require('krins').on_change(status, context.client_id)
      end,
    },
    -- Commands of code actions and lenses that we have more to show for than the server alone.
    commands = {
      ['krins.showDiff'] = function(command)
        require('krins').diff({ task = argument(command).task })
      end,
      ['krins.apply'] = function(command)
        require('krins').apply(argument(command))
      end,
      ['krins.undo'] = function(command)
        require('krins').undo(argument(command))
      end,
      ['krins.redo'] = function(command)
        require('krins').redo(argument(command))
      end,
    },
  }
end

--- The directory to work in for a buffer: the nearest one upwards with a marker, else its own. Nothing for a buffer that is no file.
function M.root_of(buffer)
  local name = vim.api.nvim_buf_get_name(buffer)
  if vim.bo[buffer].buftype ~= '' or name == '' or name:find('^%a[%w+.-]+://') then
    return nil
  end
  return vim.fs.root(buffer, options.root_markers) or vim.fs.dirname(name)
end

--- Starts the server for files as they are opened. Called once, by the plugin.
function M.start()
  vim.schedule(function()
    if not options.autostart then
      return
    end
    if vim.lsp.enable then
      vim.lsp.enable('krins')
      return
    end
    vim.api.nvim_create_autocmd('FileType', {
      group = vim.api.nvim_create_augroup('krins', {}),
      callback = function(event)
        M.attach(event.buf)
      end,
    })
    for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
      if vim.api.nvim_buf_is_loaded(buffer) then
        M.attach(buffer)
      end
    end
  end)
end

--- Neovim 0.10: one server for each root.
function M.attach(buffer)
  local wanted, root = options.filetypes, M.root_of(buffer)
  if not root then
    return
  end
  if wanted and not vim.tbl_contains(wanted, vim.bo[buffer].filetype) then
    return
  end
  if vim.fn.executable(options.cmd[1]) == 0 then
    return
  end
  local config = M.config()
  config.root_dir = root
  vim.lsp.start(config, { bufnr = buffer })
end

--- The server of this buffer; in a buffer that has none, the one of the file before.
function M.get()
  local here = vim.lsp.get_clients({ name = 'krins', bufnr = vim.api.nvim_get_current_buf() })[1]
  if here then
    last = here.id
    return here
  end
  return last and vim.lsp.get_client_by_id(last) or vim.lsp.get_clients({ name = 'krins' })[1]
end

--- The server whose task that is, else as `get`.
function M.of(task)
  local entry = task and tasks.get(task)
  return entry and entry.client and vim.lsp.get_client_by_id(entry.client) or M.get()
end

--- The directory that the server works in.
function M.root()
  local client = M.get()
  return client and client.config.root_dir or vim.fn.getcwd()
end

--- The commands that the running server offers.
function M.commands()
  local client = M.get()
  local provider = client and client.server_capabilities.executeCommandProvider
  return provider and provider.commands or {}
end

--- Sends a request, to the server whose task it names; `done(result, client id)` runs when it is answered. Errors are shown, and `failed(error)` runs when given.
function M.request(method, params, done, failed)
  local client = M.of(params.task)
  if not client then
    vim.notify('krins: no server is running; see :checkhealth krins', vim.log.levels.ERROR)
    if failed then
      failed({ message = 'no server is running' })
    end
    return
  end
  local function answered(err, result)
    if not err then
      done(result, client.id)
      return
    end
    if failed then
      failed(err)
    end
    M.show_error(err)
  end
  local buffer = vim.api.nvim_get_current_buf()
  local sent
  if vim.fn.has('nvim-0.11') == 1 then
    sent = client:request(method, params, answered, buffer)
  else
    sent = client.request(method, params, answered, buffer)
  end
  if not sent then
    answered({ message = 'the server is gone; :edit starts it again' })
  end
end

function M.show_error(err)
  local data = type(err.data) == 'table' and err.data or err
  if data.kind == 'Cancelled' or err.code == -32800 then
    return
  end
  local hint = type(data.hint) == 'string' and data.hint ~= '' and ('\n' .. data.hint) or ''
  vim.notify('krins: ' .. (err.message or 'the request failed') .. hint, vim.log.levels.ERROR)
end

return M
