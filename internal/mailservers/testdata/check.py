"""Reads mails with Python's own parser and checks their DKIM signatures with dkimpy.

    check.py '{"selector._domainkey.example.com.": "v=DKIM1; ..."}' FILE...

Prints a JSON list with one object for each file. The names of the keys are those of Go's mailertest.Mail.
"""

import email
import email.policy
import json
import sys

import dkim

records = json.loads(sys.argv[1])


def txt(name, timeout=5):
    return records[name.decode()].encode()


def part(message, kind):
    body = message.get_body(preferencelist=(kind,))
    return body.get_content().replace("\r\n", "\n").rstrip("\n")


def bare(message, name):
    return message[name].addresses[0].addr_spec


out = []
for name in sys.argv[2:]:
    with open(name, "rb") as f:
        raw = f.read()
    message = email.message_from_bytes(raw, policy=email.policy.default)
    verifier = dkim.DKIM(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    signatures = len(message.get_all("DKIM-Signature", []))
    out.append({
        "From": bare(message, "From"),
        "FromName": message["From"].addresses[0].display_name,
        "ReplyTo": bare(message, "Reply-To"),
        "To": bare(message, "To"),
        "Subject": message["Subject"],
        "MessageID": message["Message-ID"].strip("<>"),
        "Text": part(message, "plain"),
        "HTML": part(message, "html"),
        "Defects": [repr(d) for p in message.walk() for d in p.defects],
        "Signatures": [bool(verifier.verify(i, dnsfunc=txt)) for i in range(signatures)],
    })
json.dump(out, sys.stdout)
