-- The whole journey in a headless Neovim, with the plugin, against a real server:
--   KRINS=/path/to/krins APP=/a/copy/of/fixtures/todo-app nvim --headless -u NONE -i NONE -n --cmd 'set rtp^=editors/neovim' -c 'luafile editors/neovim/test/journey.lua'
-- Prints one line for each promise and ends with a failure status when one is broken.
local app = assert(vim.env.APP, 'APP is a copy of fixtures/todo-app')
package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
local t = require('promises')

vim.notify = t.note
local keys, virtual_text = t.keys, t.virtual_text

local rename = 'rename calculateProgress to completionRate'

local function buffer_text(path)
  return table.concat(vim.api.nvim_buf_get_lines(vim.fn.bufnr(app .. '/' .. path), 0, -1, false), '\n')
end

local function diff_open()
  return vim.bo.filetype == 'diff' and vim.api.nvim_buf_get_name(0):find('krins://', 1, true) ~= nil
end

--- What was asked last, and what is answered to questions from now on: 1 is yes, 2 is no.
local asked = ''
local function answer(choice)
  asked = ''
  vim.fn.confirm = function(question)
    asked = question
    return choice
  end
end

--- The window that shows a diff, on this tab.
local function diff_window()
  return vim.iter(vim.api.nvim_tabpage_list_wins(0)):find(function(window)
    local buffer = vim.api.nvim_win_get_buf(window)
    return vim.bo[buffer].filetype == 'diff' and vim.api.nvim_buf_get_name(buffer):find('krins://', 1, true) ~= nil
  end)
end

--- The diff comes by itself, beside what the person does; then they go there.
local function proposal(promise)
  local window = vim.api.nvim_get_current_win()
  t.eventually(promise, function()
    return diff_window() ~= nil
  end)
  t.check('and it takes no focus', vim.api.nvim_get_current_win() == window)
  vim.cmd('Krins diff')
end

local function completion(line)
  return vim.fn.getcompletion(line, 'cmdline')
end

local function start()
  -- Started through another program, as from a container: what is asked goes to the server, whatever its command is.
  require('krins').setup({ cmd = { 'env', assert(vim.env.KRINS, 'KRINS is the program'), 'lsp', '--stdio' } })
  vim.cmd('runtime plugin/krins.lua')
  vim.cmd.cd(app)
  vim.cmd('filetype on')
  vim.cmd.edit(app .. '/src/store/selectors.ts')
  t.eventually('the server starts for a file', function()
    local client = vim.lsp.get_clients({ name = 'krins' })[1]
    return client and client.initialized
  end)
  vim.cmd('vnew')
  vim.bo.filetype = 'lua'
  vim.wait(200)
  t.check('and for nothing else', #vim.lsp.get_clients() == 1)
  vim.cmd.close()
end

local function words()
  t.check('the command completes its own words', vim.tbl_contains(completion('Krins re'), 'review') and vim.tbl_contains(completion('Krins re'), 'rename'))
  t.check('and what may follow them', vim.tbl_contains(completion('Krins graph im'), 'impact') and vim.tbl_contains(completion('Krins assign ++scope=n'), '++scope=narrow'))
  t.check('and what the server offers', vim.tbl_contains(completion('Krins run krins.st'), 'krins.status'))
  vim.cmd('Krins apply the new logo to the header')
  t.check('a word of its own with other words is not guessed', t.said('To ask for a change in these words: :Krins assign apply the new logo'))
  vim.cmd('Krins ++scope=everything rename a to b')
  t.check('a setting with a wrong value is said', t.said('%+%+scope is one of narrow, normal, broad'))
  local ok, why = pcall(require('krins').setup, { opne = false })
  t.check('a misspelt option is said', not ok and why:find('no option "opne"') ~= nil)
end

local function context()
  vim.cmd('Krins context ++tokens=3000 ' .. rename)
  t.eventually('the context is shown before anything is sent', function()
    return vim.bo.filetype == 'krins-context' and vim.api.nvim_buf_get_lines(0, 1, 2, false)[1]:find('nothing was sent') ~= nil
  end)
  vim.cmd.close()
end

local function ask_apply_undo()
  local selectors, stats = t.read('src/store/selectors.ts'), t.read('src/stats.ts')
  local statuses = {}
  vim.api.nvim_create_autocmd('User', {
    pattern = 'KrinsChanged',
    callback = function()
      statuses[#statuses + 1] = require('krins').statusline()
    end,
  })
  vim.cmd('Krins ' .. rename)
  proposal('the proposal opens as a diff')
  t.check('the status line says what waits', require('krins').statusline() == 'krins: 1 proposal')
  t.check('and said that something was at work', vim.iter(statuses):any(function(status)
    return status ~= '' and status ~= 'krins: 1 proposal'
  end))
  t.check('completion names its hunks', #completion('Krins apply h') > 1)
  t.check('nothing is written before the word', t.read('src/stats.ts') == stats)
  local source = vim.fn.bufnr(app .. '/src/store/selectors.ts')
  t.check('signs stand where the open file would change', virtual_text(source):find('krins h%d') ~= nil)
  answer(2)
  keys('A')
  vim.wait(300)
  t.check('A asks before it writes', asked:find('Apply 12 hunks', 1, true) and t.read('src/stats.ts') == stats and diff_open())
  answer(1)
  keys('A')
  t.eventually('apply changes the open buffer', function()
    return buffer_text('src/store/selectors.ts'):find('completionRate', 1, true) ~= nil
  end)
  t.eventually('apply changes the closed file', function()
    return t.read('src/stats.ts'):find('completionRate', 1, true) ~= nil
  end)
  t.eventually('it says what is not saved', function()
    return t.said('not saved')
  end)
  t.check('the diff is closed, and the signs are gone', not diff_open() and virtual_text(source) == '')
  t.check('the status line is empty again', require('krins').statusline() == '')

  vim.cmd('Krins undo')
  t.eventually('undo gives the closed file back to the byte', function()
    return t.read('src/stats.ts') == stats
  end)
  t.eventually('undo gives the buffer back', function()
    return buffer_text('src/store/selectors.ts') .. '\n' == selectors
  end)
  vim.cmd('Krins redo')
  t.eventually('redo makes it again', function()
    return t.read('src/stats.ts'):find('completionRate', 1, true) ~= nil and buffer_text('src/store/selectors.ts'):find('completionRate', 1, true) ~= nil
  end)
  vim.cmd('Krins undo')
  t.eventually('and undo takes it back', function()
    return t.read('src/stats.ts') == stats and buffer_text('src/store/selectors.ts') .. '\n' == selectors
  end)
  vim.cmd('silent! wall')
  t.check('the saved buffer is the old file to the byte', t.read('src/store/selectors.ts') == selectors)
end

--- The hunk of the proposal that changes the first line of `name` that matches.
local function review_in_the_file()
  vim.cmd('Krins ' .. rename)
  proposal('a second proposal opens')
  local stats = t.read('src/stats.ts')
  vim.cmd.close()
  vim.cmd.buffer(vim.fn.bufnr(app .. '/src/store/selectors.ts'))
  vim.api.nvim_win_set_cursor(0, { 1, 0 })
  vim.cmd('Krins next')
  t.check('next goes to the first hunk of the file', vim.api.nvim_win_get_cursor(0)[1] > 1)
  vim.cmd('Krins hunk')
  t.check('the hunk at the cursor is shown in a small window', vim.iter(vim.api.nvim_list_wins()):any(function(window)
    local lines = vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(window), 0, -1, false)
    return vim.api.nvim_win_get_config(window).relative ~= '' and table.concat(lines, '\n'):find('+import { completionRate', 1, true) ~= nil
  end))
  keys('<Plug>(krins-reject)')
  t.eventually('a hunk is rejected where it stands', function()
    return virtual_text(0):find('rejected') ~= nil
  end)
  vim.cmd('Krins diff')
  t.check('the diff knows it', diff_open() and virtual_text(0):find('rejected') ~= nil)
  vim.fn.search('^+')
  keys('e')
  t.check('a hunk opens with its new lines, without what belongs to the line ends', vim.fn.search('completionRate') > 0 and vim.fn.search('calculateProgress') == 0 and vim.fn.search('\r') == 0)
  vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// mine' })
  vim.cmd('write')
  t.eventually('what a person writes stands in the diff', function()
    return diff_open() and vim.fn.search('^+// mine', 'w') > 0
  end)

  vim.cmd('Krins review')
  local tabs = #vim.api.nvim_list_tabpages()
  t.check('the review opens side by side, in diff mode', tabs == 2 and vim.wo.diff and #vim.api.nvim_tabpage_list_wins(0) == 2)
  local right = vim.api.nvim_get_current_buf()
  t.check('the right side is what an apply would make of the file', vim.fn.search('^// mine$', 'w') > 0 and virtual_text(right):find('edited') ~= nil)
  local files = require('krins.tasks').get(require('krins.tasks').proposed()).diff.files
  local seen = {}
  for _ = 1, #files do
    seen[#seen + 1] = vim.wo.winbar:match('file %d+ of %d+')
    keys(']f')
  end
  t.check('every file is shown', #vim.fn.uniq(vim.fn.sort(seen)) == #files and #files > 3)
  for _ = 1, #files do
    if vim.api.nvim_buf_get_lines(right, 0, 20, false)[3] == 'import { parseQuery } from "../filters";' then
      break
    end
    keys(']f')
  end
  t.check('a rejected hunk is not in it, and says so', vim.fn.search('import { completionRate', 'w') == 0 and virtual_text(right):find('rejected') ~= nil)
  keys('x')
  t.eventually('taking the rejection back brings it in', function()
    return vim.fn.search('import { completionRate', 'w') > 0 and virtual_text(right):find('rejected') == nil
  end)
  keys('q')
  t.check('the review closes', #vim.api.nvim_list_tabpages() == 1)
  vim.cmd('Krins discard')
  t.eventually('discard closes everything and writes nothing', function()
    return not diff_open() and t.said('discarded') and t.read('src/stats.ts') == stats
  end)
end

local function what_a_file_became()
  vim.cmd('Krins ' .. rename)
  proposal('a third proposal opens')
  local path = app .. '/src/stats.ts'
  local before = t.read('src/stats.ts')
  vim.fn.writefile({ '// somebody was here' }, path, 'a')
  t.forget_notices()
  vim.cmd('Krins review')
  t.check('a file that moved on is not shown as if it had not', t.said('changed since the proposal') and diff_open())
  local file = assert(io.open(path, 'wb'))
  file:write(before)
  file:close()
end

--- Writes a line before the first hunk's new lines, or over the first of them.
local function begin_with(line, over)
  vim.cmd('Krins diff')
  vim.fn.search('^+')
  keys('e')
  vim.api.nvim_buf_set_lines(0, 0, over and 1 or 0, false, { line })
  vim.cmd('write')
  t.eventually('what a person writes is judged too', function()
    return diff_open() and vim.fn.search('\\V+' .. line, 'w') > 0
  end)
end

--- Chooses a code action at the cursor.
local function choose(title)
  vim.ui.select = function(items, options, chosen)
    for index, item in ipairs(items) do
      if (options.format_item or tostring)(item):find(title) then
        return chosen(item, index)
      end
    end
    chosen(nil)
  end
  vim.lsp.buf.code_action()
end

--- At a finding of a proposal that the gate blocks.
local function by_code_actions(place)
  local tasks = require('krins.tasks')
  vim.cmd.sbuffer(place.bufnr)
  vim.api.nvim_win_set_cursor(0, { place.lnum, 0 })
  local window = vim.api.nvim_get_current_win()
  t.eventually('(the server knows the file)', function()
    return #vim.lsp.get_clients({ name = 'krins', bufnr = place.bufnr }) == 1
  end)
  vim.fn.setqflist({})
  choose('show what the gate found')
  t.eventually('a code action shows what the gate found', function()
    return vim.bo.filetype == 'krins-gate' and vim.fn.search('sast/', 'w') > 0 and #vim.fn.getqflist() > 0
  end)
  vim.cmd.close()
  local reason
  vim.ui.input = function(_, done)
    done(reason)
    reason = nil
  end
  for _, given in ipairs({ ' ', 'only here for now' }) do
    t.check('a waiver that nobody gave a reason for is not made', not t.said('is waived for'))
    reason = given
    vim.api.nvim_set_current_win(window)
    choose('put up with')
    t.eventually('a code action asks why a finding is put up with', function()
      return reason == nil
    end)
  end
  t.eventually('and waives it with that', function()
    return t.said('is waived for .* until ' .. vim.pesc(os.date('%Y-%m-%d', os.time() + 30 * 86400)))
  end)
  local waiting = tasks.get(tasks.proposed())
  t.check('for the finding alone', waiting.state == 'ready' and waiting.diff.gate.waived[1].reason == 'only here for now')
  vim.cmd.close()
end

local function gate()
  -- A workspace may be stricter than the person.
  vim.fn.mkdir(app .. '/.krins', 'p')
  vim.fn.writefile({ '[levels]', 'sast = "block"' }, app .. '/.krins/policy.toml')
  begin_with('export const run = (text: string) => eval(text);')
  vim.cmd('Krins gate')
  t.eventually('the gate shows every check', function()
    return vim.bo.filetype == 'krins-gate' and vim.fn.search('syntax') > 0
  end)
  local finding = vim.fn.search('sast/') > 0 and vim.fn.matchstr(vim.fn.getline('.'), 'sast/\\S\\+')
  t.check('and what it found, also in the quickfix list', finding and #vim.fn.getqflist() > 0)
  vim.cmd.close()
  by_code_actions(vim.fn.getqflist()[1])
  begin_with('export const run = (words: string) => eval(words);', true)
  t.check('as long as its lines read so', require('krins.tasks').get(require('krins.tasks').proposed()).state == 'blocked')
  t.forget_notices()
  local where = vim.fn.fnamemodify(vim.fn.bufname(vim.fn.getqflist()[1].bufnr), ':.')
  t.check('waive completes rule and path', vim.tbl_contains(completion('Krins waive '), finding) and #completion('Krins waive ' .. finding .. ' ') > 0)
  vim.cmd('Krins waive ' .. finding)
  t.check('a waiver without a reason is not made', t.said('the last day and why'))
  vim.cmd(('Krins waive %s %s %s only here for now'):format(finding, where, os.date('%Y-%m-%d', os.time() + 86400)))
  t.eventually('a waiver is made, with its end', function()
    return t.said('is waived for')
  end)
  local waiting = require('krins.tasks').get(require('krins.tasks').proposed())
  t.check('and the proposal is what the gate now says of it', #waiting.diff.gate.waived > 0 and waiting.state == waiting.diff.state)
  t.check('and what waits is what the gate now says of it', require('krins.tasks').get(require('krins.tasks').proposed()).state == 'ready')
  vim.cmd('Krins gate')
  t.eventually('and the gate judges by it', function()
    return vim.bo.filetype == 'krins-gate' and vim.fn.search('waived until', 'w') > 0
  end)
  vim.cmd.close()
  t.forget_notices()
  vim.cmd('Krins fix')
  t.eventually('what cannot be fixed without a model says so', function()
    return t.said('krins: ')
  end)
  vim.cmd('Krins discard')
  t.eventually('and it is discarded', function()
    return t.said('discarded')
  end)
end

local function questions()
  vim.cmd.buffer(vim.fn.bufnr(app .. '/src/store/selectors.ts'))
  vim.cmd('Krins graph references calculateProgress')
  t.eventually('references are in the quickfix list', function()
    return t.said('references of calculateProgress') and #vim.fn.getqflist() > 3
  end)
  vim.cmd('cclose')
  vim.cmd.buffer(vim.fn.bufnr(app .. '/src/store/selectors.ts'))
  vim.fn.search('calculateProgress')
  for question, words in pairs({ impact = 'reaches', tests = 'tests of', module = 'imported by', unused = 'exports that nothing takes', cycles = 'circles', stats = 'symbols', owners = 'own' }) do
    vim.cmd('Krins graph ' .. question)
    t.eventually('the graph answers: ' .. question, function()
      return t.said(words)
    end)
    vim.cmd('cclose')
    vim.cmd.buffer(vim.fn.bufnr(app .. '/src/store/selectors.ts'))
  end
  vim.cmd('Krins graph path src/cli/main.ts src/model/progress.ts')
  t.eventually('the graph answers: path', function()
    return t.said('%d steps')
  end)
  vim.cmd('cclose')
end

local function others()
  vim.cmd.buffer(vim.fn.bufnr(app .. '/src/store/selectors.ts'))
  vim.cmd('Krins lock')
  t.eventually('a file is locked', function()
    return t.said('locked by')
  end)
  vim.cmd('Krins locks')
  t.eventually('and listed', function()
    return vim.bo.filetype == 'krins-locks' and vim.fn.search('selectors.ts:1') > 0
  end)
  vim.cmd.close()
  vim.cmd('Krins unlock')
  t.eventually('and given back', function()
    return t.said('not locked any more')
  end)
  vim.cmd('Krins tasks')
  t.eventually('the tasks are listed', function()
    return vim.bo.filetype == 'krins-tasks' and vim.fn.search('undone\\|discarded') > 0
  end)
  t.check('the newest first', vim.api.nvim_buf_get_lines(0, 2, 3, false)[1]:find('^discarded') ~= nil)
  vim.cmd.close()
  vim.cmd('Krins status')
  t.eventually('the status is said', function()
    return t.said('builtin/refactorings')
  end)
  vim.cmd('Krins audit')
  t.eventually('the log is verified', function()
    return t.said('all as they were written')
  end)
  vim.cmd('Krins run krins.status')
  t.eventually('any command of the server can be run', function()
    return vim.api.nvim_buf_get_name(0) == 'krins://krins.status'
  end)
  vim.cmd.close()
  t.forget_notices()
  vim.cmd('Krins make the sky blue')
  t.eventually('what is not understood is an error with a hint, not a guess', function()
    return t.said('krins: ')
  end)
end

local function health()
  vim.cmd('checkhealth krins')
  local text = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
  t.check('checkhealth finds the program and the server', text:find('a server runs') ~= nil and text:find('ERROR') == nil)
  t.check('and says who is asked', text:find('builtin') ~= nil)
  vim.cmd.bdelete()
  local before = require('krins.client').options().cmd
  local function with(cmd)
    require('krins').setup({ cmd = cmd })
    vim.cmd('checkhealth krins')
    local said = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
    vim.cmd.bdelete()
    require('krins').setup({ cmd = before })
    return said
  end
  local wrapped = with(vim.list_extend({ 'env', 'KRINS_NOTHING=1' }, before))
  t.check('behind another program it is krins that answers', wrapped:find('%-%-version: krins %d') ~= nil and wrapped:find('ERROR') == nil)
  t.check('and another program that answers is not taken for krins', with({ 'env', 'lsp', '--stdio' }):find('is not answered by krins') ~= nil)
  local doc = vim.fn.tempname()
  vim.fn.mkdir(doc, 'p')
  vim.fn.writefile(vim.fn.readfile(vim.api.nvim_get_runtime_file('doc/krins.txt', false)[1]), doc .. '/krins.txt')
  local ok, why = pcall(vim.cmd.helptags, doc)
  local tags = table.concat(vim.fn.readfile(doc .. '/tags'), '\n')
  t.check('the help has a tag for every word' .. (ok and '' or ': ' .. why), ok and vim.iter(require('krins.command').words):all(function(word)
    return tags:find(':Krins-' .. word, 1, true) ~= nil
  end))
end

t.run(function()
  start()
  words()
  context()
  ask_apply_undo()
  review_in_the_file()
  what_a_file_became()
  gate()
  questions()
  others()
  health()
end)
