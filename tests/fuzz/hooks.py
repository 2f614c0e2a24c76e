"""Who the fuzzer is: two people and a key, and which of them asks what."""

import json
import os
import pathlib
import re
import time
import urllib.request

import schemathesis

BASE = os.environ["SLUICE_BASE_URL"]
MAIL = pathlib.Path(os.environ["SLUICE_MAIL_DIR"])
# With a key instead of a session, half of the operations must say that they are not for keys.
KEY = os.environ.get("SLUICE_FUZZ_KEY")
PASSWORD = "correct horse 47 battery"
PERSON, LEAVER = "fuzz@example.org", "leaver@example.org"

# They end sessions, or would lead away from the account: each call gets a session of its own, of
# somebody who owns nothing that the others need.
LEAVING = {"log_out", "log_out_everywhere"}


def post(path, body, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers["content-type"] = "application/json"
    request = urllib.request.Request(BASE + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def link_in(mail, email):
    """The word of a mailed link, if the mail is to that address."""
    # Lines are folded by quoted-printable.
    text = mail.read_bytes().decode().replace("=\r\n", "").replace("=3D", "=")
    word = re.search(r"mail_[0-9a-zA-Z]{20,}", text)
    return word and f"To: {email}" in text and word.group()


def set_password(email):
    # A name that begins with a dot is being written.
    before = set(MAIL.glob("[!.]*.eml"))
    post("/api/v1/password-resets", {"email": email})
    for _ in range(300):
        for mail in set(MAIL.glob("[!.]*.eml")) - before:
            if token := link_in(mail, email):
                body = {"token": token, "password": PASSWORD}
                return post("/api/v1/password-resets/confirm", body)
        time.sleep(0.1)
    raise RuntimeError(f"no mail for {email}")


def log_in(email):
    return post("/api/v1/sessions", {"email": email, "password": PASSWORD})["token"]


def use_a_key():
    """Lets one key and one request be there to be found."""
    session = {"authorization": f"Bearer {log_in(PERSON)}"}
    key = post("/api/v1/keys", {"name": "used"}, **session)["key"]
    message = {
        "model": "claude-haiku-4-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    post("/v1/messages", message, x_api_key=key, anthropic_version="2023-06-01")


if not KEY:
    for email in (PERSON, LEAVER):
        set_password(email)
    use_a_key()


@schemathesis.auth(refresh_interval=None).apply_to(func=lambda context: KEY is not None)
class ByKey:
    def get(self, case, context):
        return KEY

    def set(self, case, data, context):
        case.headers["x-api-key"] = data


@schemathesis.auth(refresh_interval=None).apply_to(
    func=lambda context: KEY is None and operation_id(context) in LEAVING
)
class ByLeaver:
    def get(self, case, context):
        return log_in(LEAVER)

    def set(self, case, data, context):
        case.headers["authorization"] = f"Bearer {data}"


@schemathesis.auth(refresh_interval=3600).apply_to(
    func=lambda context: KEY is None and operation_id(context) not in LEAVING
)
class BySession:
    def get(self, case, context):
        return log_in(PERSON)

    def set(self, case, data, context):
        case.headers["authorization"] = f"Bearer {data}"


def operation_id(context):
    return context.operation.definition.raw.get("operationId")
