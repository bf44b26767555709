-- Read by `vim.lsp.config` on Neovim 0.11 and newer: `vim.lsp.enable('krins')` is then enough.
return require('krins.client').config()
