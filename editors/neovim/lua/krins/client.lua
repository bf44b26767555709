-- The language server: its configuration, its start, and requests to it. Hides what differs between Neovim 0.10 and newer.
local M = {}

local defaults = {
  --- The program and its arguments.
  cmd = { 'krins', 'lsp', '--stdio' },
  --- Which files the server is started for; nil: all.
  filetypes = nil,
  root_markers = { '.krins', '.git', 'package.json' },
  --- Open the diff by itself when a proposal is ready.
  open = true,
  --- Start the server by itself.
  autostart = true,
}

local options = vim.deepcopy(defaults)

function M.options()
  return options
end

function M.setup(given)
  options = vim.tbl_deep_extend('force', vim.deepcopy(defaults), given or {})
  if vim.lsp.config then
    vim.lsp.config('krins', M.config())
  end
end

--- What `vim.lsp.config` and `vim.lsp.start` take.
function M.config()
  return {
    name = 'krins',
    cmd = options.cmd,
    filetypes = options.filetypes,
    root_markers = options.root_markers,
    init_options = { krins = { client = { protocol = 1, minor = 0, features = { 'assign', 'diff', 'context', 'taskDidChange' } } } },
    handlers = {
      ['krins/task/didChange'] = function(_, status)
        require('krins').on_change(status)
      end,
    },
    -- Commands of code actions and lenses that we have more to show for than the server alone.
    commands = {
      ['krins.showDiff'] = function(command)
        require('krins').diff({ args = (command.arguments and command.arguments[1] or {}).task or '' })
      end,
      ['krins.apply'] = function(command)
        require('krins').apply_task(command.arguments and command.arguments[1] or {})
      end,
      ['krins.undo'] = function(command)
        require('krins').undo({ args = (command.arguments and command.arguments[1] or {}).undo or '' })
      end,
      ['krins.redo'] = function(command)
        require('krins').redo({ args = (command.arguments and command.arguments[1] or {}).undo or '' })
      end,
    },
  }
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
  local wanted = options.filetypes
  if vim.bo[buffer].buftype ~= '' or vim.api.nvim_buf_get_name(buffer) == '' then
    return
  end
  if wanted and not vim.tbl_contains(wanted, vim.bo[buffer].filetype) then
    return
  end
  if vim.fn.executable(options.cmd[1]) == 0 then
    return
  end
  local config = M.config()
  config.root_dir = vim.fs.root(buffer, options.root_markers) or vim.fs.dirname(vim.api.nvim_buf_get_name(buffer))
  vim.lsp.start(config, { bufnr = buffer })
end

--- The server of this buffer, else any.
function M.get(buffer)
  local here = vim.lsp.get_clients({ name = 'krins', bufnr = buffer or 0 })[1]
  return here or vim.lsp.get_clients({ name = 'krins' })[1]
end

--- Sends a request; `done(result)` runs when it is answered. Errors are shown, and `failed(error)` runs when given.
function M.request(method, params, done, failed)
  local client = M.get()
  if not client then
    vim.notify('krins: no server is running; see :checkhealth krins', vim.log.levels.ERROR)
    return
  end
  local function answered(err, result)
    if not err then
      done(result)
      return
    end
    if failed then
      failed(err)
    end
    M.show_error(err)
  end
  local buffer = vim.api.nvim_get_current_buf()
  if vim.fn.has('nvim-0.11') == 1 then
    client:request(method, params, answered, buffer)
  else
    client.request(method, params, answered, buffer)
  end
end

function M.show_error(err)
  local data = type(err.data) == 'table' and err.data or {}
  if data.kind == 'Cancelled' or err.code == -32800 then
    return
  end
  local hint = type(data.hint) == 'string' and data.hint ~= '' and ('\n' .. data.hint) or ''
  vim.notify('krins: ' .. (err.message or 'the request failed') .. hint, vim.log.levels.ERROR)
end

return M
