-- What the command line offers after <Tab>.
local M = {}

--- How the keyless refactorings begin; a model takes any words.
local openings = { 'rename', 'move', 'remove unused imports', 'turn the default export into a named one' }

local function starting_with(lead, words)
  return vim.tbl_filter(function(word)
    return vim.startswith(word, lead)
  end, words)
end

--- Names in the buffer, the one under the cursor first.
local function names(lead)
  local seen, found = {}, {}
  local function add(word)
    if #word > 2 and not seen[word] and vim.startswith(word, lead) then
      seen[word] = true
      found[#found + 1] = word
    end
  end
  add(vim.fn.expand('<cword>'))
  if lead ~= '' then
    local rest = {}
    for _, line in ipairs(vim.api.nvim_buf_get_lines(0, 0, 5000, false)) do
      for word in line:gmatch('[%a_$][%w_$]*') do
        rest[word] = true
      end
    end
    local sorted = vim.tbl_keys(rest)
    table.sort(sorted)
    for _, word in ipairs(sorted) do
      add(word)
    end
  end
  return found
end

function M.intent(lead, line)
  local words = line:gsub('^.-%f[%a]Krins%a*!?%s*', '')
  if words == lead then
    local history = require('krins').history()
    return vim.list_extend(starting_with(lead, openings), starting_with(lead, history))
  end
  local found = names(lead)
  return vim.list_extend(found, starting_with(lead, { 'to' }))
end

function M.task(lead)
  return starting_with(lead, require('krins').task_ids())
end

function M.hunk(lead)
  return starting_with(lead, require('krins').hunk_ids())
end

return M
