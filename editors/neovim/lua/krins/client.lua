-- The language server: its configuration, its start, and requests to it. Hides what differs between Neovim 0.10 and newer.
local tasks = require('krins.tasks')

local M = {}

--- The server of the file that was last asked about.
local last

--- By the id of a server, also of one that is gone: the directory that it works in.
local roots = {}

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

--- Whether the plugin enabled the server before it was asked whether it may.
local started = false

--- How long a server may take to say hello when a command needs it, in milliseconds.
local HELLO = 10000

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
  if started and not options.autostart then
    started = false
    vim.lsp.enable('krins', false)
  end
  if vim.lsp.config then
    -- What was said here, and no default: that would undo what `vim.lsp.config` was told. The rest is read anew from `lsp/krins.lua`.
    vim.lsp.config('krins', { cmd = given and given.cmd, filetypes = given and given.filetypes, root_markers = given and given.root_markers })
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
    on_exit = function(code, signal, id)
      vim.schedule(function()
        require('krins').on_exit(code, signal, id)
      end)
    end,
    -- Commands of code actions and lenses that we have more to show for than the server alone.
    commands = {
      ['krins.assign'] = function(command)
        local asked = vim.deepcopy(argument(command))
        local intent = asked.intent
        asked.intent = nil
        require('krins').assign({ intent = intent, options = asked })
      end,
      ['krins.review'] = function(command)
        require('krins').judge(argument(command))
      end,
      ['krins.cancel'] = function(command)
        require('krins').cancel(argument(command))
      end,
      ['krins.discard'] = function(command)
        require('krins').discard(argument(command))
      end,
      ['krins.fix'] = function(command)
        require('krins').fix(argument(command))
      end,
      ['krins.waive'] = function(command)
        require('krins').waive(argument(command))
      end,
      ['krins.task'] = function(command)
        require('krins').found(argument(command))
      end,
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

--- The configuration that the server is started with: what `vim.lsp.config` was told goes before the options here.
function M.effective()
  return vim.lsp.config and vim.lsp.config.krins or M.config()
end

--- The path of a buffer that is a file.
local function path_of(buffer)
  local name = vim.api.nvim_buf_get_name(buffer)
  local file = vim.bo[buffer].buftype == '' and name ~= '' and not name:find('^%a[%w+.-]+://')
  return file and name or nil
end

--- Links are followed: /home is one on some systems, and a buffer's name has none.
local function is_home(directory)
  local home = vim.uv.fs_realpath(vim.fs.normalize('~'))
  return home ~= nil and vim.uv.fs_realpath(directory) == home
end

--- The directory to work in for a buffer: the nearest one upwards with the first marker, else with the second, and so on: a package
--- of a repository is not cut out of it. Nothing where there is none, and for a buffer that is no file. What else lies in the whole
--- home (dotfiles under git, a stray package.json) makes no project of it.
function M.root_of(buffer)
  local markers = M.effective().root_markers or options.root_markers
  for _, marker in ipairs(path_of(buffer) and (type(markers) == 'string' and { markers } or markers) or {}) do
    -- Asked one by one: with a list, Neovim 0.10 takes the nearest directory with any of them.
    local root = vim.fs.root(buffer, marker)
    if root and (marker == '.krins' or not is_home(root)) then
      return root
    end
  end
end

local function none_runs()
  vim.notify('krins: no server is running; see :checkhealth krins', vim.log.levels.ERROR)
end

--- Where to work for a file that belongs to no project: its directory, which nobody but the person can name. Not the whole home, and
--- nothing for a buffer that is no file; then it says so.
local function root_of_loose(buffer)
  local path = path_of(buffer)
  local root = path and vim.fs.dirname(vim.fs.normalize(path))
  if not root then
    none_runs()
  elseif is_home(root) or vim.fs.dirname(root) == root then
    vim.notify(('krins: the file belongs to no project, and %s is too much to be one: a directory .krins beside the files makes it one'):format(root), vim.log.levels.WARN)
  else
    return root
  end
end

--- Whether a buffer is an open file that the server of a directory is for.
local function belongs(buffer, root)
  local wanted = M.effective().filetypes
  local path = vim.api.nvim_buf_is_loaded(buffer) and path_of(buffer)
  if not path or wanted and not vim.tbl_contains(wanted, vim.bo[buffer].filetype) then
    return false
  end
  local own = M.root_of(buffer)
  return own == root or not own and vim.startswith(vim.fs.normalize(path), root .. '/')
end

local function files_of(root)
  return vim.tbl_filter(function(buffer)
    return belongs(buffer, root)
  end, vim.api.nvim_list_bufs())
end

--- Tells a server that is new here of every file of its directory that is open: beneath the text of one that it does not know, it
--- would write on disk.
local function welcome(client)
  local root = client.config.root_dir
  if not root or roots[client.id] then
    return
  end
  roots[client.id] = root
  for _, buffer in ipairs(files_of(root)) do
    vim.lsp.buf_attach_client(buffer, client.id)
  end
end

--- Keeps every server told of the files that are open, however it was started, and also of those that start none.
local function watch()
  local group = vim.api.nvim_create_augroup('krins.servers', {})
  vim.api.nvim_create_autocmd('LspAttach', {
    group = group,
    -- Not at once: Neovim may be going through the buffers of the client.
    callback = vim.schedule_wrap(function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == 'krins' then
        welcome(client)
      end
    end),
  })
  vim.api.nvim_create_autocmd({ 'BufReadPost', 'BufNewFile' }, {
    group = group,
    -- Not at once: it has no filetype yet.
    callback = vim.schedule_wrap(function(event)
      for _, client in ipairs(vim.lsp.get_clients({ name = 'krins' })) do
        if roots[client.id] and belongs(event.buf, roots[client.id]) then
          vim.lsp.buf_attach_client(event.buf, client.id)
        end
      end
    end),
  })
end

--- Starts the server for files as they are opened. Called once, by the plugin.
function M.start()
  watch()
  if vim.lsp.enable and vim.v.vim_did_enter == 0 then
    if not options.autostart then
      return
    end
    -- Nothing starts before the first file is opened; until then `setup` and `vim.lsp.enable('krins', false)` can take this back.
    vim.lsp.enable('krins')
    started = true
    return
  end
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
  if type(options.cmd) == 'table' and vim.fn.executable(options.cmd[1]) == 0 then
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

--- Starts a server; without a buffer for no file yet.
local function launch(root, buffer)
  local config = vim.deepcopy(M.effective())
  config.name, config.root_dir = 'krins', root
  if buffer then
    return vim.lsp.start(config, { bufnr = buffer })
  elseif vim.fn.has('nvim-0.11') == 1 then
    return vim.lsp.start(config, { attach = false })
  end
  return vim.lsp.start_client(config)
end

--- Starts a server because a command needs one, for the current buffer or for a directory that had one, and waits for its first word.
--- Nothing, which was said then, when there can be none.
local function begin(again)
  local buffer = vim.api.nvim_get_current_buf()
  local root = again or M.root_of(buffer) or root_of_loose(buffer)
  if not root then
    return nil
  end
  if again then
    buffer = files_of(again)[1]
  end
  local id = launch(root, buffer)
  local found
  vim.wait(id and HELLO or 0, function()
    found = vim.lsp.get_client_by_id(id)
    return not found or found.initialized
  end, 10)
  if found and found.initialized then
    last = id
    welcome(found)
    return found
  end
  vim.notify('krins: the server did not start; see :checkhealth krins', vim.log.levels.ERROR)
end

--- The server for what is asked about the current buffer, started when need be: a file is never asked about at the server of another
--- project. In a buffer that is no file as `get`. Nothing, which was said then, when there is none.
function M.reach()
  local buffer = vim.api.nvim_get_current_buf()
  if path_of(buffer) and #vim.lsp.get_clients({ name = 'krins', bufnr = buffer }) == 0 then
    return begin()
  end
  local client = M.get()
  if not client then
    none_runs()
  end
  return client
end

--- The server that works in a directory.
local function at(root)
  return vim.iter(vim.lsp.get_clients({ name = 'krins' })):find(function(client)
    return client.config.root_dir == root
  end)
end

--- The server whose task that is, begun again when it is gone: another project's knows nothing of it. Else as `get`, and begun when
--- there is none. Nothing, which was said then, when there can be none.
function M.of(task)
  local entry = task and tasks.get(task)
  local id = entry and entry.client
  local client = id and vim.lsp.get_client_by_id(id)
  if not client and id and roots[id] then
    return at(roots[id]) or begin(roots[id])
  end
  return client or M.get() or begin()
end

--- The directory that the server with this id works in, else the one for what is shown.
function M.root(id)
  local client = M.get()
  return id and roots[id] or client and client.config.root_dir or vim.fn.getcwd()
end

--- The commands that the running server offers.
function M.commands()
  local client = M.get()
  local provider = client and client.server_capabilities.executeCommandProvider
  return provider and provider.commands or {}
end

--- Sends a request, to the server with this id, else to the one whose task or undo it names; `done(result, client id)` runs when it is
--- answered. Errors are shown, and `failed(error)` runs when given. Gives the server's id and the request's.
function M.request(method, params, done, failed, server)
  local client = server and vim.lsp.get_client_by_id(server) or M.of(params.task or params.undo)
  if not client then
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
  local sent, request
  if vim.fn.has('nvim-0.11') == 1 then
    sent, request = client:request(method, params, answered, buffer)
  else
    sent, request = client.request(method, params, answered, buffer)
  end
  if not sent then
    answered({ message = 'the server is gone; :edit starts it again' })
  end
  return client.id, request
end

--- Takes a request back. Neovim forgets it then: nothing of it is called any more.
function M.drop(id, request)
  local client = vim.lsp.get_client_by_id(id)
  if not client or not request then
    return
  end
  if vim.fn.has('nvim-0.11') == 1 then
    client:cancel_request(request)
  else
    client.cancel_request(request)
  end
end

--- The program with everything that stands before its own words (`env`, `nix run`, `ssh`), and then these; nothing when the server is
--- started by a function.
function M.program(words)
  local cmd = M.effective().cmd
  if type(cmd) ~= 'table' then
    return nil
  end
  local program = {}
  for _, word in ipairs(cmd) do
    if word == 'lsp' then
      break
    end
    program[#program + 1] = word
  end
  return vim.list_extend(program, words)
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
