;;; emacs.el --- the journey in a batch Emacs with Eglot, against a real server  -*- lexical-binding: t -*-
;; APP=/a/copy/of/fixtures/todo-app PAGE=docs/editors/emacs.md emacs -Q --batch -l tests/editors/emacs.el
;; `krins' is on PATH. With SLOW=1 the model behind it never answers (the settings say so), and the task is cancelled instead.
;; The configuration is the first block of the page, as it stands there. Prints a line for each promise.
(setq native-comp-enable-subr-trampolines nil native-comp-jit-compilation nil)
(require 'cl-lib)
(require 'project)
(require 'eglot)
(require 'flymake)

(setq make-backup-files nil auto-save-default nil create-lockfiles nil inhibit-message nil
      last-nonmenu-event ?a) ; a list would ask by a menu

(defvar app (file-name-as-directory (getenv "APP")))
(defvar broken 0)
(defvar said nil "What the echo area showed, newest first.")
(defvar wanted "" "What the person at the keyboard chooses.")
(defvar agrees t "Whether the person says yes.")
(defvar asked 0 "How often the person was asked for a yes.")

(defun out (text) (princ (concat text "\n")))

(defun check (promise holds)
  (unless holds
    (cl-incf broken)
    (dolist (text (reverse said)) (out (concat "# " text))))
  (out (concat (if holds "ok - " "not ok - ") promise)))

(defun wait-for (condition)
  (let* ((begun (float-time)) (idle (+ begun 0.5)) found)
    (while (and (not (setq found (funcall condition))) (< (float-time) (+ begun 45)))
      (accept-process-output nil 0.03)
      ;; Eglot tells of changes after half an idle second, and a batch Emacs is never idle.
      (when (> (float-time) idle)
        (setq idle (+ (float-time) 0.5))
        (tell-changes)))
    found))

(defun tell-changes ()
  (dolist (buffer (buffer-list))
    (with-current-buffer buffer
      (when (and (buffer-file-name) (eglot-managed-p))
        (eglot--signal-textDocument/didChange)))))

(defmacro eventually (promise &rest condition)
  `(check ,promise (wait-for (lambda () ,@condition))))

(defun told (pattern) (cl-some (lambda (text) (string-match-p pattern text)) said))

(defun on-disk (path)
  (with-temp-buffer
    (set-buffer-multibyte nil)
    (insert-file-contents-literally (expand-file-name path app))
    (buffer-string)))

(defun here () (buffer-substring-no-properties (point-min) (point-max)))

(advice-add 'message :before (lambda (format &rest values) (when format (push (apply #'format format values) said))))
(advice-add 'y-or-n-p :override (lambda (_) (cl-incf asked) agrees))
(setq completing-read-function
      (lambda (_ choices &rest _)
        (let ((titles (all-completions "" choices)))
          (or (cl-find-if (lambda (title) (string-prefix-p wanted title)) titles)
              (error "There is no %S in %S" wanted titles)))))

(defun page-configuration ()
  (with-temp-buffer
    (insert-file-contents (getenv "PAGE"))
    (search-forward "```elisp\n")
    (let ((start (point)))
      (search-forward "\n```")
      (read (concat "(progn " (buffer-substring start (match-beginning 0)) ")")))))

(defun offered (title)
  "Whether a code action begins with TITLE. Asks the server as `eglot-code-actions' does."
  (let ((actions (jsonrpc-request (eglot-current-server) :textDocument/codeAction
                                  (list :textDocument (eglot--TextDocumentIdentifier)
                                        :range (list :start (eglot--pos-to-lsp-position) :end (eglot--pos-to-lsp-position))
                                        :context (list :diagnostics [])))))
    (cl-some (lambda (action) (string-prefix-p title (plist-get action :title))) actions)))

(defun choose (title)
  (eventually (format "%s is offered" title) (offered title))
  (setq wanted title)
  (eglot-code-actions (point) nil nil t))

(defun start ()
  (eval (page-configuration) t)
  (add-to-list 'auto-mode-alist '("\\.tsx?\\'" . js-mode))
  (find-file (expand-file-name "src/store/selectors.ts" app))
  (cl-letf (((symbol-function 'project-current) (lambda (&rest _) (cons 'transient app))))
    (apply #'eglot (eglot--guess-contact)))
  (eventually "the server starts for a file" (eglot-managed-p)))

(defun ask (words)
  (goto-char (point-min))
  (insert "// krins: " words "\n")
  (goto-char (point-min))
  (tell-changes)
  (choose (concat "Krins: " (substring words 0 4))))

(defun journey ()
  (let ((stats (on-disk "src/stats.ts")) before)
    (ask "rename calculateProgress to completionRate")
    (eventually "it is said that somebody is at work" (told "working on"))
    (eventually "and when it is ready" (told "is ready"))
    (setq before (here))
    (check "nothing is written before the word" (equal (on-disk "src/stats.ts") stats))
    (flymake-start)
    (eventually "each place carries a note" (flymake-diagnostics))
    (let ((buffer (current-buffer)))
      (choose "Krins: show the diff")
      (eventually "the diff is opened, or where it is is said"
                  (or (told "the diff is in .*\\.diff")
                      (cl-some (lambda (each) (string-suffix-p ".diff" (or (buffer-file-name each) ""))) (buffer-list))))
      (set-buffer buffer))
    (goto-char (point-min))
    (search-forward "import { calculateProgress")
    (choose "Krins: reject this hunk")
    (choose "Krins: take back the rejection of this hunk")

    ;; The older name is an alias since Emacs 30, and then takes other values.
    (setq eglot-confirm-server-initiated-edits (if (version< emacs-version "30") 'confirm 'summary) agrees nil said nil)
    (choose "Krins: apply the change")
    (eventually "a no is heard" (and (> asked 0) (told "failed to")))
    (check "and nothing is changed by it, nowhere" (and (equal (here) before) (equal (on-disk "src/stats.ts") stats)))
    (setq eglot-confirm-server-initiated-edits nil agrees t said nil)

    (choose "Krins: apply the change")
    (eventually "apply changes the open buffer" (string-match-p "import { completionRate" (here)))
    (eventually "apply changes the closed file" (string-match-p "completionRate" (on-disk "src/stats.ts")))
    (eventually "and says what is not saved" (told "unsaved"))
    (check "the file of the open buffer is left to the person" (not (string-match-p "completionRate" (on-disk "src/store/selectors.ts"))))
    (choose "Krins: undo")
    (eventually "undo gives both back" (and (equal (here) before) (equal (on-disk "src/stats.ts") stats)))

    (setq said nil)
    (let (sent)
      (advice-add 'krins-command :before (lambda (&rest given) (setq sent given)) '((name . watch)))
      (goto-char (point-min))
      (transient-mark-mode 1)
      (push-mark (point) t t)
      (forward-line 2)
      (krins "rename calculateProgress to completionRate")
      (deactivate-mark)
      (advice-remove 'krins-command 'watch)
      (let ((selection (plist-get (cdr sent) :selection)))
        (check "the region is what it is about"
               (and (equal (plist-get (plist-get selection :start) :line) 0)
                    (equal (plist-get (plist-get selection :end) :line) 2)))))
    (eventually "the function of the page asks, too" (told "is ready"))
    (krins-command 'krins.gate)
    (eventually "what a command answers is said" (told "the gate passes"))
    (krins-command 'krins.discard)
    (eventually "and discards" (not (offered "Krins: apply the change")))
    (check "nothing was written by that" (equal (on-disk "src/stats.ts") stats))))

(defun cancel ()
  (let ((stats (on-disk "src/stats.ts")))
    (ask "sort the views by name")
    (eventually "it is said that somebody is at work" (told "working on"))
    (choose "Krins: cancel")
    (eventually "and that it was cancelled" (told "was cancelled"))
    (check "nothing is left to cancel" (not (offered "Krins: cancel")))
    (check "nothing was written" (equal (on-disk "src/stats.ts") stats))))

(condition-case err
    (progn
      (start)
      (if (getenv "SLOW") (cancel) (journey))
      (ignore-errors (eglot-shutdown (eglot-current-server))))
  (error (cl-incf broken) (out (format "not ok - %S" err))))
(unless (= broken 0)
  (dolist (text (reverse said)) (out (concat "# " text))))
(kill-emacs (if (= broken 0) 0 1))
;;; emacs.el ends here
