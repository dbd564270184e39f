;; SPDX-License-Identifier: MIT
;; A thread for each connection.
(require "asdf")
(let ((*standard-output* (make-broadcast-stream)) (*error-output* (make-broadcast-stream)))
  (asdf:load-system "hunchentoot"))
;; Octets: to make them of characters takes a while.
(defvar *long* (let ((long (make-array (* 3 (ash 1 20)) :element-type '(unsigned-byte 8))))
                 (dotimes (i (ash 1 20) long)
                   (replace long (sb-ext:string-to-octets "@TAG@ ") :start1 (* 3 i)))))
(setf hunchentoot:*dispatch-table*
      (list (hunchentoot:create-prefix-dispatcher "/download" (lambda () *long*))
            (hunchentoot:create-prefix-dispatcher "/" (lambda () (format nil "GEN @TAG@ lisp~%")))))
(hunchentoot:start (make-instance 'hunchentoot:easy-acceptor :address "127.0.0.1" :port @PORT@
                                  :access-log-destination nil))
(loop (sleep 3600))
