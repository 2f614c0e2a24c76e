"""A mail server that does on command whatever a mail server can do.

The local part of a recipient's address is the command; a number in it counts how often it is obeyed
before the mail is taken:

    refuse             550 at RCPT
    reject             554 after DATA
    put-off-2          451 at RCPT, twice
    defer-2            451 after DATA, twice
    vanish-1           keeps the mail and breaks the connection without a word, once
    drop-1             breaks the connection at RCPT, once
    hang-1             says nothing after DATA, once
    linger             takes the mail, and never answers QUIT
    slow               answers RCPT after half a second, and takes the mail

Every mail that was read to its end is a line of JSON in the journal, with what was answered; null
where nothing was.

usage: server.py JOURNAL ADDRESS_FILE [CERTIFICATE KEY USER PASSWORD]

With a certificate it takes nothing before STARTTLS and a log-in.
"""

import asyncio
import email
import json
import logging
import os
import ssl
import sys
from collections import Counter

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Desk:
    """Keeps the journal, and counts how often a command was obeyed."""

    def __init__(self, journal):
        self.journal = journal
        self.obeyed = Counter()

    def is_told(self, address, command):
        local = address.split("@")[0]
        if local == command:
            return True
        if not local.startswith(command + "-"):
            return False
        times = int(local.removeprefix(command + "-"))
        self.obeyed[address] += 1
        return self.obeyed[address] <= times

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.is_told(address, "refuse"):
            return f"550 5.1.1 <{address}> is unknown here"
        if self.is_told(address, "put-off"):
            return f"451 4.7.1 <{address}> come back later"
        if self.is_told(address, "drop"):
            server.transport.abort()
            return "421 gone"
        if self.is_told(address, "slow"):
            await asyncio.sleep(0.5)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        (address,) = envelope.rcpt_tos
        message = email.message_from_bytes(envelope.content)
        answer = self.answer_to(address)
        line = {
            "to": address,
            "from": envelope.mail_from,
            "hello": session.host_name,
            "tls": session.ssl is not None,
            "user": session.auth_data.decode() if session.authenticated else None,
            "message_id": message["Message-ID"],
            "subject": message["Subject"],
            "answer": answer,
            "parts": [part.get_content_type() for part in message.walk()],
            "plain": message.get_payload(0).get_payload(decode=True).decode(),
        }
        with open(self.journal, "a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")
        if answer is None and address.startswith("vanish"):
            server.transport.abort()
        elif answer is None:
            await asyncio.sleep(3600)
        session.lingers = self.is_told(address, "linger")
        return answer or "421 nobody hears this"

    def answer_to(self, address):
        if self.is_told(address, "reject"):
            return f"554 5.7.1 nothing for <{address}>"
        if self.is_told(address, "defer"):
            return "451 4.3.0 not now"
        if self.is_told(address, "vanish") or self.is_told(address, "hang"):
            return None
        return "250 OK"

    async def handle_QUIT(self, server, session, envelope):
        if getattr(session, "lingers", False):
            await asyncio.sleep(3600)
        return "221 bye"


async def main(journal, address_file, certificate=None, key=None, user=None, password=None):
    options = {}
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        def authenticate(server, session, envelope, mechanism, data):
            expected = LoginPassword(user.encode(), password.encode())
            is_right = isinstance(data, LoginPassword) and data == expected
            # What is not handled here, the server answers: a wrong log-in with 535.
            return AuthResult(
                success=is_right, handled=is_right, auth_data=data.login if is_right else None
            )

        options = {
            "tls_context": context,
            "require_starttls": True,
            "auth_required": True,
            "authenticator": authenticate,
        }
    desk = Desk(journal)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(desk, hostname="mail.test", enable_SMTPUTF8=True, **options), "127.0.0.1", 0
    )
    host, port = server.sockets[0].getsockname()
    with open(address_file + ".new", "w", encoding="utf-8") as file:
        file.write(f"{host}:{port}")
    os.rename(address_file + ".new", address_file)
    await server.serve_forever()


# A client that breaks off is what the tests are about.
logging.disable(logging.CRITICAL)
asyncio.run(main(*sys.argv[1:]))
