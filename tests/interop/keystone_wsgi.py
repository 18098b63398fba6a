"""Serves Keystone's WSGI application on a socket that the parent has bound.

    OS_KEYSTONE_CONFIG_FILES=keystone.conf python keystone_wsgi.py FD

Keystone itself comes from PyPI unchanged. Production puts it behind uWSGI; wsgiref with a thread a connection serves a
test well.
"""

import socket
import sys
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


server = Server()
server.set_app(initialize_public_application())
print("serving", flush=True)
server.serve_forever()
