-- What happens beside the straight way, with the plugin, against a real server: answers that come at a bad moment, windows that are
-- closed by other commands, verdicts from elsewhere, files of no project.
--   KRINS=/path/to/krins APP=/a/copy/of/fixtures/todo-app nvim --headless -u NONE -i NONE -n --cmd 'set rtp^=editors/neovim' -c 'luafile editors/neovim/test/corners.lua'
-- Prints one line for each promise and ends with a failure status when one is broken.
local app = assert(vim.env.APP, 'APP is a copy of fixtures/todo-app')
package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
local t = require('promises')

vim.notify = t.note
local keys, virtual_text = t.keys, t.virtual_text

local krins = require('krins')
local tasks = require('krins.tasks')

local rename = 'rename calculateProgress to completionRate'
local command = { assert(vim.env.KRINS, 'KRINS is the program'), 'lsp', '--stdio' }
--- Neovim 0.11 and newer have a configuration of their own.
local configured = vim.lsp.config ~= nil

local function server()
  return vim.lsp.get_clients({ name = 'krins' })[1]
end

--- A request beside the plugin, as another client would make it.
local function call(method, params)
  local client = server()
  local request = configured and function(...)
    return client:request_sync(...)
  end or client.request_sync
  local answer = request(method, params, 10000, 0)
  return answer and answer.result
end

--- Kills the server, which is the one child.
local function kill_server()
  local children = vim.api.nvim_get_proc_children(vim.fn.getpid())
  ;(vim.uv or vim.loop).kill(children[1], 'sigkill')
  t.eventually('(killed)', function()
    return #children == 1 and #vim.lsp.get_clients() == 0
  end)
end

--- Whether a file is known to the one server that there is.
local function is_known(buffer)
  return server() ~= nil and vim.lsp.buf_is_attached(buffer, server().id)
end

local function selectors()
  vim.cmd('silent! only')
  vim.cmd.buffer(vim.fn.bufnr(app .. '/src/store/selectors.ts'))
end

local function diff_buffer()
  return vim.iter(vim.api.nvim_list_bufs()):find(function(buffer)
    return vim.api.nvim_buf_get_name(buffer):find('^krins://.*%.diff$') ~= nil
  end)
end

local function waits()
  return require('krins').statusline() == 'krins: 1 proposal'
end

--- Only what a task ends as is heard of it, as when it is done before the server says a word.
local on_change = krins.on_change
local function hear_only_ends()
  krins.on_change = function(status, from)
    if not tasks.is_running(status.state) then
      on_change(status, from)
    end
  end
end
local function hear_all()
  krins.on_change = on_change
end

local function discard()
  vim.cmd('Krins discard')
  t.eventually('(discarded)', function()
    return krins.statusline() == ''
  end)
end

local function propose()
  selectors()
  vim.cmd('Krins ' .. rename)
  t.eventually('(a proposal waits)', waits)
  selectors()
  vim.cmd('Krins diff')
  return tasks.proposed()
end

--- As in an init.lua that loads the plugin itself, before Neovim has started.
if configured then
  vim.lsp.config('krins', { cmd = command })
  krins.setup({ signs = true })
  vim.cmd('runtime plugin/krins.lua')
  vim.lsp.enable('krins', false)
else
  krins.setup({ cmd = command })
  vim.cmd('runtime plugin/krins.lua')
end

local function start()
  vim.cmd.cd(app)
  vim.cmd('filetype on')
  if configured then
    vim.cmd.edit(app .. '/src/stats.ts')
    vim.wait(300)
    t.check('a server that was switched off is not started', #vim.lsp.get_clients() == 0)
    vim.cmd('bwipeout')
    vim.lsp.enable('krins')
  end
end

local function files_of_no_project()
  local lone, home = vim.fn.tempname(), vim.fn.tempname()
  vim.fn.mkdir(home .. '/.git', 'p')
  vim.fn.mkdir(home .. '/notes')
  vim.fn.writefile({ '{}' }, home .. '/package.json')
  vim.fn.writefile({ 'one' }, home .. '/todo.txt')
  vim.fn.writefile({ 'one' }, home .. '/notes/todo.txt')
  vim.fn.mkdir(lone .. '/repository/.git', 'p')
  vim.fn.mkdir(lone .. '/repository/packages/a/src', 'p')
  vim.fn.writefile({ '{}' }, lone .. '/repository/packages/a/package.json')
  vim.fn.writefile({ 'export const a = 1;' }, lone .. '/repository/packages/a/src/a.ts')
  vim.fn.writefile({ 'export const first = 1;' }, lone .. '/todo.ts')
  vim.fn.writefile({ 'export const third = 3;' }, lone .. '/before.ts')
  vim.fn.writefile({ 'export const fourth = 4;' }, lone .. '/after.ts')
  vim.cmd.edit(lone .. '/before.ts')
  local before = vim.api.nvim_get_current_buf()
  vim.cmd.edit(lone .. '/todo.ts')
  vim.wait(500)
  t.check('a file of no project starts no server', #vim.lsp.get_clients() == 0)
  vim.cmd('Krins rename first to second')
  t.eventually('until somebody asks about it', function()
    return server() ~= nil and waits()
  end)
  t.check('and then its directory is what is worked in', server().config.root_dir == vim.fs.dirname(vim.api.nvim_buf_get_name(vim.fn.bufnr(lone .. '/todo.ts'))))
  t.check('and its files that are open are known', is_known(before))
  vim.cmd.edit(lone .. '/after.ts')
  local after = vim.api.nvim_get_current_buf()
  t.eventually('and one that is opened later', function()
    return is_known(after)
  end)

  vim.cmd('Krins diff')
  local directory = server().config.root_dir
  for _, buffer in ipairs({ before, after, vim.fn.bufnr(lone .. '/todo.ts') }) do
    vim.api.nvim_buf_delete(buffer, { force = true })
  end
  kill_server()
  keys('x')
  t.eventually('with no file open, a key of the diff starts the server of its directory again', function()
    return waits() and tasks.hunk(tasks.get(tasks.proposed()).diff, 'h1').verdict == 'reject' and server().config.root_dir == directory
  end)
  discard()

  local real = vim.env.HOME
  vim.env.HOME = home
  vim.cmd.edit(home .. '/todo.txt')
  vim.cmd('Krins rename one to two')
  vim.wait(200)
  t.check('the whole home is no project, and its file is asked about nowhere else', t.said('too much to be one') and #vim.lsp.get_clients() == 1 and krins.statusline() == '')
  local root_of = require('krins.client').root_of
  t.check('and what lies beside it makes no project of its directories', root_of(vim.fn.bufadd(home .. '/notes/todo.txt')) == nil)
  vim.fn.mkdir(home .. '/.krins')
  t.check('unless somebody says so', root_of(vim.api.nvim_get_current_buf()) ~= nil)
  vim.env.HOME = real
  local root = root_of(vim.fn.bufadd(lone .. '/repository/packages/a/src/a.ts'))
  t.check('a package is not cut out of its repository: ' .. tostring(root), root ~= nil and root:find('repository$') ~= nil)
  vim.lsp.stop_client(vim.lsp.get_clients())
  t.eventually('(stopped)', function()
    return #vim.lsp.get_clients() == 0
  end)
  vim.cmd('%bwipeout!')
end

local function configuration()
  vim.cmd.edit(app .. '/src/store/selectors.ts')
  t.eventually('the server starts for a file of a project', function()
    return server() and server().initialized
  end)
  if not configured then
    return
  end
  vim.cmd('checkhealth krins')
  local text = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
  t.check('checkhealth looks at the program that vim.lsp.config names', text:find('ERROR') == nil and text:find(command[1] .. ': krins ', 1, true) ~= nil)
  vim.cmd.bdelete()
  t.check('setup undoes nothing that vim.lsp.config was told', vim.lsp.config.krins.cmd[1] == command[1])
end

local function ends_without_a_beginning()
  hear_only_ends()
  t.forget_notices()
  vim.cmd('Krins run krins.assign {"intent": "make the sky blue"}')
  t.eventually('a task that fails before its first word says so', function()
    return t.said('make the sky blue')
  end)
  vim.wait(300)
  t.check('once', t.count('failed to understand') == 1)
  selectors()
  vim.cmd(('Krins run krins.assign {"intent": "%s"}'):format(rename))
  t.eventually('one that is ready before its first word is shown', function()
    return diff_buffer() ~= nil and waits()
  end)
  hear_all()
  discard()
  t.check('what is discarded does not come back', diff_buffer() == nil)
end

local function while_somebody_types()
  selectors()
  local before = vim.api.nvim_buf_get_lines(0, 0, -1, false)
  local window, opened, mode
  _G.krins_wait = function()
    window, mode = vim.api.nvim_get_current_win(), vim.api.nvim_get_mode().mode
    vim.cmd('Krins ' .. rename)
    vim.wait(20000, waits, 20)
    opened = diff_buffer() ~= nil or vim.api.nvim_get_current_win() ~= window
  end
  vim.keymap.set('i', '<F2>', '<Cmd>lua krins_wait()<CR>')
  t.forget_notices()
  keys('i<F2>xaAD<Esc>')
  t.check('nothing opens while a text is typed (' .. tostring(mode) .. ')', mode == 'i' and opened == false)
  t.check('and it is said that it is ready', t.said('is ready %(:Krins diff%)'))
  t.check('the text is where it was typed', vim.api.nvim_get_current_line():find('xaAD', 1, true) ~= nil)
  vim.api.nvim_buf_set_lines(0, 0, -1, false, before)
  vim.bo.modified = false
  vim.cmd('Krins diff')
  local asked
  vim.fn.confirm = function(question)
    asked = question
    return 2
  end
  keys('D')
  vim.wait(300)
  t.check('D asks before it discards', asked ~= nil and waits() and diff_buffer() ~= nil)
  discard()
end

local function cancelled_too_late()
  propose()
  t.forget_notices()
  vim.cmd('Krins cancel ' .. tasks.proposed())
  t.eventually('a task that has ended is not said to be cancelled', function()
    return t.said('nothing to cancel: the task is ready')
  end)
  t.check('and its proposal stays', waits() and not t.said('nothing was written'))
end

local function one_hunk_after_another()
  local buffer = vim.fn.bufnr(app .. '/src/store/selectors.ts')
  local ids = tasks.hunk_ids()
  local format = t.read('src/format.ts')
  vim.cmd('Krins apply h2')
  t.eventually('one hunk is applied', function()
    return t.read('src/format.ts') ~= format
  end)
  t.eventually('and the diff says so', function()
    return diff_buffer() and virtual_text(diff_buffer()):find('h2 applied') ~= nil
  end)
  vim.wait(500)
  t.check('the others still wait', waits() and virtual_text(buffer):find('krins h%d') ~= nil)
  local task = tasks.proposed()
  tasks.forget(task)
  vim.api.nvim_buf_delete(diff_buffer(), { force = true })
  vim.cmd('Krins diff ' .. task)
  t.eventually('the server knows it as well', function()
    return diff_buffer() and virtual_text(diff_buffer()):find('h2 applied') ~= nil and virtual_text(diff_buffer()):find('h1 applied') == nil
  end)
  vim.cmd('Krins undo h2')
  t.eventually('one hunk is taken back', function()
    return t.read('src/format.ts') == format and virtual_text(diff_buffer()):find('applied') == nil
  end)
  vim.cmd('Krins apply ' .. table.concat(ids, ' '))
  t.eventually('with the last hunk the review ends', function()
    return krins.statusline() == '' and diff_buffer() == nil and virtual_text(buffer) == ''
  end)
  vim.cmd('Krins undo')
  t.eventually('(undone)', function()
    return t.read('src/format.ts') == format and vim.api.nvim_buf_get_lines(buffer, 0, -1, false)[3] == 'import { parseQuery } from "../filters";'
  end)
  propose()
  vim.cmd('Krins apply h2')
  t.eventually('(one hunk is applied)', function()
    return diff_buffer() and virtual_text(diff_buffer()):find('h2 applied') ~= nil
  end)
  task = tasks.proposed()
  t.forget_notices()
  vim.cmd('Krins discard')
  t.eventually('what was left out can be dropped', function()
    return t.said('the rest is dropped; what was applied stays') and krins.statusline() == '' and diff_buffer() == nil and t.read('src/format.ts') ~= format
  end)
  t.check('for good', vim.iter(call('krins/diff', { task = task }).files[1].hunks):all(function(hunk)
    return hunk.id == 'h2' or hunk.verdict == 'reject'
  end))
  vim.cmd('Krins undo')
  t.eventually('(undone)', function()
    return t.read('src/format.ts') == format
  end)
  vim.cmd('silent! wall')
  selectors()
  vim.cmd('silent! wall')
end

local function refused_edit()
  propose()
  vim.fn.search('^+')
  keys('e')
  vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// an hour of work' })
  t.forget_notices()
  local client = require('krins.client')
  local request = client.request
  client.request = function(method, params, ...)
    -- A hunk that the server does not know any more.
    params.hunk = method == 'krins/review' and 'h99' or params.hunk
    return request(method, params, ...)
  end
  vim.cmd('wq')
  t.eventually('an edit that the server refuses is said to be', function()
    return t.said('is not taken, and kept')
  end)
  local buffer = vim.iter(vim.api.nvim_list_bufs()):find(function(one)
    return vim.api.nvim_buf_get_name(one):find('%.h%d+$') ~= nil
  end)
  t.check('and nothing of it is lost', buffer ~= nil and vim.api.nvim_buf_get_lines(buffer, 0, 1, false)[1] == '// an hour of work' and vim.bo[buffer].modified and #vim.fn.win_findbuf(buffer) > 0)
  client.request = request
  vim.api.nvim_set_current_win(vim.fn.win_findbuf(buffer)[1])
  vim.cmd('write')
  t.eventually('written again, it is taken', function()
    return not vim.api.nvim_buf_is_valid(buffer) and table.concat(vim.api.nvim_buf_get_lines(diff_buffer(), 0, -1, false), '\n'):find('+// an hour of work', 1, true) ~= nil
  end)
  discard()
end

local function untaken_edit()
  propose()
  vim.fn.search('^+')
  keys('e')
  local buffer = vim.api.nvim_get_current_buf()
  local hunk = vim.api.nvim_buf_get_name(buffer):match('h%d+$')
  vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// an hour of work' })
  local function is_kept()
    return vim.api.nvim_buf_is_valid(buffer) and vim.api.nvim_buf_get_lines(buffer, 0, 1, false)[1] == '// an hour of work' and vim.bo[buffer].modified
  end
  local client = require('krins.client')
  local request = client.request
  client.request = function(method, ...)
    -- As when the server dies before it answers.
    if method ~= 'krins/review' then
      return request(method, ...)
    end
  end
  vim.cmd('wq')
  vim.wait(100)
  client.request = request
  vim.cmd('Krins edit ' .. hunk)
  t.check('what was written and never answered is still there', is_kept() and vim.api.nvim_get_current_buf() == buffer)
  local on_disk = t.read('src/format.ts')
  for _, word in ipairs({ 'apply', 'discard', 'fix' }) do
    t.forget_notices()
    vim.cmd('Krins ' .. word)
    t.check(('%s says that it is not taken'):format(word), t.said(hunk .. ' is not taken yet'))
  end
  vim.wait(300)
  t.check('and does nothing', is_kept() and waits() and t.read('src/format.ts') == on_disk)
  call('krins/discard', { task = tasks.proposed() })
  t.eventually('and it outlives its proposal', function()
    return krins.statusline() == '' and diff_buffer() == nil and is_kept() and t.said(hunk .. ' belongs to no proposal any more')
  end)
  vim.cmd('quit!')
  t.check('until it is left', not vim.api.nvim_buf_is_valid(buffer))
end

local function windows_that_go()
  propose()
  vim.cmd('Krins review')
  vim.cmd('tabclose')
  selectors()
  vim.cmd('Krins diff')
  local ok, why = pcall(vim.cmd, 'Krins reject h1')
  t.eventually('a verdict after the review was closed by its tab is shown in the diff' .. (ok and '' or ': ' .. tostring(why)), function()
    return ok and diff_buffer() ~= nil and virtual_text(diff_buffer()):find('h1 rejected') ~= nil
  end)
  vim.cmd('Krins reopen h1')
  vim.cmd('Krins review')
  vim.cmd('quit')
  t.eventually('a side that is closed takes the other along', function()
    return #vim.api.nvim_list_tabpages() == 1
  end)

  vim.cmd('Krins review')
  vim.cmd.wincmd('h')
  vim.cmd.edit(app .. '/src/stats.ts')
  local buffer = vim.api.nvim_get_current_buf()
  local lines = vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
  vim.cmd('Krins reject h1')
  t.eventually('(rejected)', function()
    return tasks.hunk(tasks.get(tasks.proposed()).diff, 'h1').verdict == 'reject'
  end)
  vim.wait(200)
  t.check('a file that is opened in a side is not overwritten', vim.deep_equal(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), lines) and vim.bo[buffer].modifiable and not vim.bo[buffer].modified)
  vim.cmd('silent! tabonly')
  vim.cmd('Krins reopen h1')
  selectors()
end

local function signs_that_move()
  local signs = require('krins.signs')
  vim.fn.search('import { calculateProgress')
  local _, hunk = signs.hunk_under_cursor()
  vim.api.nvim_buf_set_lines(0, 0, 0, false, { '//', '//', '//', '//' })
  local row = vim.fn.search('import { calculateProgress')
  vim.api.nvim_buf_set_lines(0, row - 1, row - 1, false, { '//' })
  vim.fn.search('import { calculateProgress')
  local function is_there()
    local _, now = signs.hunk_under_cursor()
    return hunk ~= nil and now == hunk
  end
  t.check('what is typed moves the signs along', is_there())
  vim.cmd('Krins reject')
  t.eventually('the hunk under the cursor is meant', function()
    return tasks.hunk(tasks.get(tasks.proposed()).diff, hunk).verdict == 'reject'
  end)
  t.check('and it stands where it stood', is_there())
  vim.cmd('Krins reject')
  t.eventually('so that it can be taken back there', function()
    return tasks.hunk(tasks.get(tasks.proposed()).diff, hunk).verdict == 'open'
  end)
  vim.cmd('edit!')
  vim.fn.search('import { calculateProgress')
  t.check('a file that is read anew has them where it has the lines', is_there())
end

local function verdicts_from_elsewhere()
  vim.cmd('Krins diff')
  local diff = vim.api.nvim_get_current_buf()
  vim.api.nvim_win_set_cursor(0, { 1, 0 })
  keys('s')
  t.check('the review opens from the diff', vim.wo.diff)
  keys('x')
  t.eventually('(rejected)', function()
    return tasks.hunk(tasks.get(tasks.proposed()).diff, 'h1').verdict == 'reject'
  end)
  keys('q')
  t.check('the diff on the other tab knows it', vim.api.nvim_get_current_buf() == diff and virtual_text(diff):find('h1 rejected') ~= nil)
  keys('x')
  t.eventually('and takes it back', function()
    return virtual_text(diff):find('rejected') == nil
  end)

  call('krins/review', { task = tasks.proposed(), hunk = 'h3', verdict = 'reject' })
  t.eventually('a verdict that something else gave is shown', function()
    return virtual_text(diff):find('h3 rejected') ~= nil
  end)
  selectors()
  vim.fn.search('import { calculateProgress')
  vim.ui.select = function(items, options, choose)
    for index, item in ipairs(items) do
      if (options.format_item or tostring)(item):find('reject this hunk') then
        return choose(item, index)
      end
    end
  end
  vim.lsp.buf.code_action()
  t.eventually('and one by a code action', function()
    return virtual_text(0):find('rejected') ~= nil
  end)
end

local function in_the_way()
  local path = app .. '/src/format.ts'
  local before = t.read('src/format.ts')
  local file = assert(io.open(path, 'wb'))
  file:write((before:gsub('calculateProgress', 'somethingElse')))
  file:close()
  t.forget_notices()
  vim.cmd('Krins apply ++dry')
  t.eventually('a dry run says what is in the way', function()
    return t.said('nothing would be changed: %d+ conflict')
  end)
  t.check('and where', #vim.fn.getqflist() > 0 and not t.said('would change'))
  file = assert(io.open(path, 'wb'))
  file:write(before)
  file:close()
  local client = require('krins.client')
  local request = client.request
  client.request = function(_, _, done)
    done({ applied = { {} }, conflicts = {}, unsaved = {}, undo = 'u', pending = 'the journal is still there' })
  end
  vim.cmd('Krins undo')
  client.request = request
  t.check('what the next start has to end is said', t.said('the journal is still there'))
end

local function a_server_that_dies()
  vim.cmd.edit(app .. '/src/format.ts')
  local format = vim.api.nvim_get_current_buf()
  vim.api.nvim_buf_set_lines(format, 0, 0, false, { '// not saved' })
  local on_disk = t.read('src/format.ts')
  selectors()
  local client, task = require('krins.client'), tasks.proposed()
  local request, seq = client.request, tasks.get(task).seq
  client.request = function(_, _, _, failed)
    failed({ message = 'the server is gone' })
  end
  krins.on_change({ task = task, intent = rename, state = 'ready', seq = seq + 1 }, server().id)
  client.request = request
  t.check('the last word of a server that dies takes nothing away', waits() and tasks.proposed() == task)
  tasks.get(task).seq = seq
  t.forget_notices()
  kill_server()
  t.eventually('a server that dies is said to have', function()
    return t.said('the server has ended %(signal 9%)')
  end)
  t.check('what waits is not lost', waits())
  vim.cmd('Krins reopen h3')
  t.eventually('and the next server knows it', function()
    return #vim.lsp.get_clients() == 1 and tasks.hunk(tasks.get(tasks.proposed()).diff, 'h3').verdict == 'open' and waits()
  end)
  t.check('and every file that was open', is_known(format))

  vim.cmd('Krins diff')
  vim.api.nvim_win_set_cursor(0, { 1, 0 })
  kill_server()
  keys('x')
  t.eventually('a key of the diff starts it again', function()
    return is_known(format) and tasks.hunk(tasks.get(tasks.proposed()).diff, 'h1').verdict == 'reject'
  end)
  keys('x')
  t.eventually('(taken back)', function()
    return tasks.hunk(tasks.get(tasks.proposed()).diff, 'h1').verdict == 'open'
  end)
  selectors()
  kill_server()
  vim.cmd('edit!')
  t.eventually('and so does a file, with the others', function()
    return is_known(format)
  end)

  local function lines()
    return table.concat(vim.api.nvim_buf_get_lines(format, 0, -1, false), '\n')
  end
  vim.cmd('Krins apply h2')
  t.eventually('an apply changes what is open', function()
    return tasks.hunk(tasks.get(tasks.proposed()).diff, 'h2').applied and (t.read('src/format.ts') ~= on_disk or lines():find('completionRate', 1, true) ~= nil)
  end)
  t.check('and writes beneath no text that is not saved', t.read('src/format.ts') == on_disk and vim.startswith(lines(), '// not saved'))
  vim.cmd('Krins undo h2')
  t.eventually('(undone)', function()
    return lines():find('completionRate', 1, true) == nil and not tasks.hunk(tasks.get(tasks.proposed()).diff, 'h2').applied
  end)
  vim.api.nvim_buf_delete(format, { force = true })
end

local function questions()
  vim.cmd('Krins why')
  t.check('why: the reasons, with places', vim.bo.filetype == 'krins-why' and vim.fn.search('^    .*:\\d') > 0)
  t.check('what was sent', vim.fn.search('^# sent', 'w') > 0 and vim.fn.search(':1  \\d\\+ tokens', 'w') > 0)
  vim.cmd.close()
  t.forget_notices()
  vim.cmd('Krins status')
  t.eventually('what was spent today', function()
    return t.said('spent today: 0%.0000 USD')
  end)
  vim.cmd('Krins variant')
  t.eventually('which answers there are', function()
    return t.said('one answer was asked for')
  end)
  local client = require('krins.client')
  local request, wanted = client.request, nil
  client.request = function(method, params, done)
    if method == 'krins/task' then
      local variants = { { variant = 1, shown = true, model = 'a/one', verdict = 'pass' }, { variant = 2, shown = false, model = 'b/two', error = 'failed to\27 answer' } }
      done({ task = tasks.proposed(), intent = rename, variants = variants, choices = { 'b/two was tried because it is cheap' } }, server().id)
    else
      wanted = { method, params.variant }
    end
  end
  vim.cmd('Krins variant')
  local listed = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
  t.check('several are listed, with why', vim.bo.filetype == 'krins-variants' and listed:find('1  pass   a/one  shown now', 1, true) and listed:find('failed to  answer', 1, true) and listed:find('because it is cheap', 1, true))
  t.check('and complete the word', vim.deep_equal(vim.fn.getcompletion('Krins variant ', 'cmdline'), { '1', '2' }))
  keys('j<CR>')
  client.request = request
  t.check('Enter shows one', vim.deep_equal(wanted, { 'krins/variant', 2 }))
  vim.cmd.close()
  vim.cmd('Krins report day')
  t.eventually('what came of it all', function()
    return vim.bo.filetype == 'krins-report' and vim.fn.search('^tasks .* asked') > 0
  end)
  vim.cmd.close()
  local opened
  vim.ui.open = function(url)
    opened = url
  end
  vim.cmd('Krins dashboard')
  t.eventually('the dashboard is a page on this machine', function()
    return opened ~= nil and opened:find('^http://127%.0%.0%.1:%d+/') ~= nil
  end)
  local first
  first, opened = opened, nil
  vim.cmd('Krins dashboard')
  t.check('which is opened again', opened == first)
end

local function lists()
  vim.cmd('Krins tasks')
  t.eventually('the tasks say who answered, and what is on record', function()
    return vim.bo.filetype == 'krins-tasks' and vim.fn.search('by builtin/refactorings', 'w') > 0 and vim.fn.search('record \\d\\+ task\\.', 'w') > 0
  end)
  t.check('and why one failed', vim.fn.search('^ *failed to understand .*make the sky blue', 'w') > 0)
  local list = vim.api.nvim_get_current_buf()
  vim.api.nvim_win_set_cursor(0, { 3, 0 })
  keys('D')
  t.eventually('the list is drawn anew when a task is something else', function()
    return vim.api.nvim_buf_get_lines(list, 2, 3, false)[1]:find('^discarded') ~= nil
  end)
  vim.cmd.close()
end

local function questions_that_take_time()
  propose()
  vim.cmd('Krins gate')
  t.check('the gate stands in the status line', krins.statusline():find('the gate is at work') ~= nil)
  t.forget_notices()
  vim.cmd('Krins cancel')
  t.check('and can be stopped', t.said('stopped: the gate is at work') and waits())
  vim.wait(500)
  t.check('and nothing of it comes', vim.bo.filetype ~= 'krins-gate')
  selectors()
  vim.cmd('Krins gate')
  keys('j')
  local window = vim.api.nvim_get_current_win()
  t.eventually('a report that comes later is shown', function()
    return vim.iter(vim.api.nvim_list_wins()):any(function(one)
      return vim.bo[vim.api.nvim_win_get_buf(one)].filetype == 'krins-gate'
    end)
  end)
  t.check('and leaves the person where they went on', vim.api.nvim_get_current_win() == window)
  discard()
end

local function another_project()
  local other = vim.fn.tempname()
  vim.fn.mkdir(other .. '/.git', 'p')
  vim.fn.writefile({ 'import { two } from "./two";', 'export const one = () => two;' }, other .. '/one.ts')
  vim.fn.writefile({ 'import { one } from "./one";', 'export const two = () => one;' }, other .. '/two.ts')
  selectors()
  local here = vim.api.nvim_get_current_buf()
  vim.cmd.edit(other .. '/one.ts')
  local there = vim.api.nvim_get_current_buf()
  t.eventually('the places of an answer are those of the project that was asked', function()
    vim.cmd.buffer(there)
    vim.cmd('Krins graph cycles')
    vim.cmd.buffer(here)
    vim.wait(200)
    local place = vim.fn.getqflist()[1]
    vim.cmd('cclose')
    return place ~= nil and place.bufnr == there
  end)
end

local function switched_off()
  if not configured then
    return
  end
  vim.lsp.enable('krins', false)
  t.eventually('a server that is switched off ends', function()
    return #vim.lsp.get_clients() == 0
  end)
  vim.cmd.edit(app .. '/src/stats.ts')
  vim.wait(300)
  t.check('and is not started for another file', #vim.lsp.get_clients() == 0)
end

t.run(function()
  start()
  files_of_no_project()
  configuration()
  ends_without_a_beginning()
  while_somebody_types()
  cancelled_too_late()
  one_hunk_after_another()
  refused_edit()
  untaken_edit()
  windows_that_go()
  signs_that_move()
  verdicts_from_elsewhere()
  in_the_way()
  a_server_that_dies()
  questions()
  lists()
  questions_that_take_time()
  another_project()
  switched_off()
end)
