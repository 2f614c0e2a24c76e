"""What scripts/demo prints of the documents and streams on standard input.

demo_output.py options       where to pay and in what, of /api/v1/deposits/options demo_output.py
claim         how a claim and its deposits stand, in one line demo_output.py stream        the text
of an event stream as it arrives; fails where the stream does demo_output.py bill BEFORE   the usage
row of `account show --json`; fails unless the balance fell by just its cost
"""

import json
import sys
from decimal import Decimal


def options():
    for chain in json.load(sys.stdin)["data"]:
        print(f"  chain     {chain['display_name']}, number {chain['chain_id']}")
        for address in chain["addresses"]:
            proof = " from a proven wallet" if address["needs_wallet_proof"] else ""
            print(f"  pay to    {address['address']}{proof}")
        for asset in chain["assets"]:
            token = asset["token"] or "the coin of the chain"
            print(f"  in        {asset['symbol']:<5} from {asset['minimum']} USD, {token}")


def claim():
    document = json.load(sys.stdin)
    words = [f"claim {document['state']}"]
    for deposit in document["deposits"]:
        depth = deposit["confirmations"]
        blocks = f" {depth['seen']}/{depth['needed']}" if depth else ""
        words.append(f"{deposit['amount']} {deposit['asset']} {deposit['state']}{blocks}")
    print(", ".join(words))


def stream():
    is_complete = False
    for line in sys.stdin:
        if not line.startswith("data:"):
            if line.startswith("{"):
                sys.exit(f"refused: {line}")
            continue
        event = json.loads(line[5:])
        if event["type"] == "error":
            sys.exit(f"\nerror: {event['error']['message']}")
        if event["type"] == "content_block_delta":
            print(event["delta"].get("text", ""), end="", flush=True)
        is_complete |= event["type"] == "message_stop"
    print()
    if not is_complete:
        sys.exit("the answer ended too early")


def bill(before):
    account = json.load(sys.stdin)
    before, after = Decimal(before), Decimal(account["available"])
    if len(account["usage"]) != 1:
        sys.exit(f"there should be one usage row, not {len(account['usage'])}")
    (row,) = account["usage"]
    cost = Decimal(row["cost"])
    ending = "complete" if row["ending"] == "E1" else row["ending"]
    tokens = f"{row['input_tokens']} tokens in, {row['output_tokens']} out"
    print(f"  request   {row['id']}, {ending}, status {row['http_status']}")
    print(f"  usage     {row['served_model']}: {tokens}, in {row['latency_ms']} ms")
    print(f"  cost      {cost:.9f} USD")
    print(f"  balance   {before:.9f} USD before, {after:.9f} USD after")
    if Decimal(account["reserved"]) != 0:
        sys.exit(f"{account['reserved']} USD are still reserved")
    if cost <= 0 or before - after != cost:
        sys.exit(f"the balance fell by {before - after}, not by the cost")


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    {"options": options, "claim": claim, "stream": stream, "bill": bill}[what](*words)
