-- The dashboard in a browser: `krins dashboard` is started behind this Neovim and ends with it.
local client = require('krins.client')

local M = {}

--- By root: { job, url? }.
local running = {}

local function show(url, say)
  say('the dashboard is ' .. url)
  local ok, _, why = pcall(vim.ui.open, url)
  if not ok or why then
    say('no browser could be opened here: the address is above')
  end
end

--- What the program prints is its address, alone in a JSON document; it comes in pieces.
local function reader(root, say)
  local text = ''
  return function(id, pieces)
    text = text .. table.concat(pieces, '\n')
    local ok, document = pcall(vim.json.decode, text)
    local entry = running[root]
    local ours = entry and entry.job == id and not entry.url
    if ours and ok and type(document) == 'table' and type(document.url) == 'string' then
      entry.url = document.url
      show(entry.url, say)
    end
  end
end

--- Opens the page of a workspace; the one that is served already is opened again. `say` and `warn` take a sentence.
function M.open(root, period, say, warn)
  local entry = running[root]
  if entry and entry.url and not period then
    show(entry.url, say)
    return
  end
  if entry then
    vim.fn.jobstop(entry.job)
  end
  local words = { 'dashboard', '--no-open', '--json', '--root', root }
  local cmd = client.program(vim.list_extend(words, period and { '--period', period } or {}))
  if not cmd then
    warn('the server is started by a function; start `krins dashboard` by hand')
    return
  end
  local complaints = {}
  local job
  local started, why = pcall(vim.fn.jobstart, cmd, {
    on_stdout = reader(root, say),
    on_stderr = function(_, pieces)
      complaints[#complaints + 1] = #complaints < 20 and table.concat(pieces, ' ') or nil
    end,
    on_exit = function(id, code)
      if running[root] and running[root].job == id then
        running[root] = nil
        warn(('the dashboard has ended (status %d) %s'):format(code, vim.trim(table.concat(complaints, ' '))))
      end
    end,
  })
  job = started and why or -1
  if job <= 0 then
    warn(('failed to start %s: %s'):format(cmd[1], started and 'it is no program' or tostring(why)))
    return
  end
  running[root] = { job = job }
end

return M
