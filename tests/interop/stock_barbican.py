"""Serves the real Barbican, from PyPI and unchanged, on a socket that the parent has bound.

    HOME=FOLDER python stock_barbican.py FD

It reads FOLDER/.barbican/barbican.conf. In place of Keystone's middleware stands one line that says who asks: what is tested is
Barbican's back-end, not its front door.
"""

import os
import socket
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

listening = socket.socket(fileno=int(sys.argv[1]))
sys.argv = ["barbican"]

PASTE = """\
[composite:main]
use = egg:Paste#urlmap
/v1: api
[pipeline:api]
pipeline = request_id context microversion apiapp
[app:apiapp]
paste.app_factory = barbican.api.app:create_main_app
[filter:context]
paste.filter_factory = barbican.api.middleware.context:ContextMiddleware.factory
[filter:microversion]
paste.filter_factory = barbican.api.middleware.microversion:MicroversionMiddleware.factory
[filter:request_id]
paste.filter_factory = oslo_middleware.request_id:RequestId.factory
"""
paste = Path(os.environ["HOME"]) / "paste.ini"
paste.write_text(PASTE)

from paste import deploy

inner = deploy.loadapp(f"config:{paste}")


def application(environ, start_response):
    environ["HTTP_X_IDENTITY_STATUS"] = "Confirmed"
    environ["HTTP_X_USER_ID"] = "alice"
    environ["HTTP_X_PROJECT_ID"] = "stock"
    environ["HTTP_X_ROLES"] = "admin,member,reader"
    return inner(environ, start_response)


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
server.set_app(application)
print("serving", flush=True)
server.serve_forever()
