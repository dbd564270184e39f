;; SPDX-License-Identifier: MIT
;; guile server.scm PORT: one thread that polls.
(use-modules (web server) (web request) (web response) (web uri) (rnrs bytevectors))
(define long (string->utf8 (string-join (make-list (ash 1 19) "@TAG@"))))
(define short (string->utf8 "GEN @TAG@ guile\n"))
(run-server
 (lambda (request body)
   (values '((content-type . (text/plain)))
           (if (string=? (uri-path (request-uri request)) "/download") long short)))
 'http (list #:host "127.0.0.1" #:port (string->number (cadr (command-line)))))
