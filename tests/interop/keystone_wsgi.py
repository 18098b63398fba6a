"""Serves Keystone's WSGI application on a socket that the parent has bound.

    OS_KEYSTONE_CONFIG_FILES=keystone.conf python keystone_wsgi.py FD

Keystone itself comes from PyPI unchanged. Production puts it behind uWSGI, in processes that answer one request at a time; here
wsgiref has a thread a connection, and one of them at a time is inside Keystone. Several at once answer 500 or 403 in the first
seconds, because what they share is made by the first requests without a lock: the rules' enforcer lacks an attribute or its
rules, while another request builds it.
"""

import socket
import sys
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

listening = socket.socket(fileno=int(sys.argv[1]))
sys.argv = ["keystone"]  # oslo.config parses the rest of the command line

from keystone.server.wsgi import initialize_public_application


class Handler(WSGIRequestHandler):
    """Without log lines."""

    def log_message(self, *_arguments):
        pass


class Server(ThreadingMixIn, WSGIServer):
    """On a socket that listens already."""

    daemon_threads = True

    def __init__(self):
        super().__init__(listening.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_name, self.server_port = listening.getsockname()
        self.setup_environ()


keystone = initialize_public_application()
alone = threading.Lock()


def application(environ, start_response):
    """Keystone, one request at a time."""
    with alone:
        answer = keystone(environ, start_response)
        try:
            return [b"".join(answer)]
        finally:
            if hasattr(answer, "close"):
                answer.close()


server = Server()
server.set_app(application)
print("serving", flush=True)
server.serve_forever()
