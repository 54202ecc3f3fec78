"""Golden vectors of the sticky hash: python3 tests/golden/route/route.py > tests/golden/route/route.json"""
import hashlib
import json

CASES = [(s, u) for s in ('', 'rollout-1', 'sält') for u in ('', 'a', '42', 'user-1', 'user-2', 'Zoë', '日本', 'x' * 300)]


def bucket(salt: str, unit: str) -> float:
    digest = hashlib.sha256(salt.encode() + b'\0' + unit.encode()).digest()
    return (int.from_bytes(digest[:8], 'big') >> 11) / 2**53


print(json.dumps([{'salt': s, 'unit': u, 'bucket': bucket(s, u)} for s, u in CASES], indent=1))
