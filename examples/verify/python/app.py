"""An app in Python behind the gate: it greets whoever the assertion names, and refuses everybody else.

EMAIL_LINK_KEY=$(caddy email-link keys audience app.example.com) /usr/bin/python3 app.py
"""

import logging
import os
from urllib.parse import urlsplit
from wsgiref.simple_server import make_server

from verify import verifier

origin = os.environ.get("ORIGIN", "https://app.example.com")  # where people find the app, as in base_url
verify = verifier(
    issuer=origin,
    audience=urlsplit(origin).netloc,  # unless the gate's Caddyfile names another
    typ="email-link+jwt",
    keys=[os.environ["EMAIL_LINK_KEY"]],
    jwks=os.environ.get("EMAIL_LINK_JWKS", origin + "/email-link/jwks.json"),
)


def app(environ, start_response):
    content = [("Content-Type", "text/plain; charset=utf-8")]
    try:
        who = verify(environ.get("HTTP_EMAIL_LINK_ASSERTION", ""))
    except Exception as e:  # of the verifier or of a library: either way nobody
        logging.warning("%s: %s", type(e).__name__, e)
        start_response("401 Unauthorized", content)
        return [b"No valid assertion\n"]
    start_response("200 OK", content)
    return [f"Hello {who['email']}\n".encode()]  # who["sub"] is the key of your own records: an address may change


make_server("127.0.0.1", int(os.environ.get("PORT", 3000)), app).serve_forever()
