"""Lets a test put many questions to contrib/verify.py in one process. Tab-separated lines in, one line each out.

    verify  PATH KEY WITNESSES KNOWN    a path, as the command would (lists separated by commas)
    base    PATH                        remember a ledger's segments, or a bundle
    flip    SEGMENT OFFSET XOR          verify what is remembered with one byte changed
"""
import functools, importlib.util, os, sys

sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("verify", sys.argv[1])
v = importlib.util.module_from_spec(spec)
spec.loader.exec_module(v)
# The same bytes are checked again and again: remember what pure functions said about them.
for name in ("crc32c", "ed25519", "read_record"):
    setattr(v, name, functools.lru_cache(4096)(getattr(v, name)))


def line(report):
    if not report["verified"]:
        return "no " + " ".join(str(report[k]) for k in ("rule", "segment", "offset", "seq"))
    names = ("subject", "origin", "records", "bytes", "runs", "open_runs", "checkpoints", "covered", "open",
             "rotations", "anchored", "known", "witnessed", "after_witnessed", "known_size",
             "after_known", "root")
    return "yes " + " ".join(str(report[k]) for k in names) + f" {report.get('run')} {report.get('complete')}"


base = []
for question in sys.stdin:
    verb, *words = question.rstrip("\n").split("\t")
    if verb == "verify":
        path, key, witnesses, known = words
        report = v.verify(path, v.parse_key(key, 1, "key") if key else None,
                          [v.parse_key(w, 4, "witness") for w in witnesses.split(",") if w],
                          [v.Note(v.read(k)) for k in known.split(",") if k])
    elif verb == "base":
        path = words[0]
        if os.path.isfile(path):
            base = v.read(path)
        else:
            base = [v.read(os.path.join(path, name)) for name in sorted(os.listdir(path))]
        report = dict(verified=False, rule="", segment=0, offset=0, seq=0)
    else:
        segment, offset, xor = map(int, words)
        if isinstance(base, bytes):
            changed = bytearray(base)
            changed[offset] ^= xor
            report = v.judge(v.Bundle(), bytes(changed))
        else:
            changed = list(base)
            changed[segment] = bytearray(base[segment])
            changed[segment][offset] ^= xor
            changed[segment] = bytes(changed[segment])
            used = [i for i, data in enumerate(changed) if not v.zero(data[:512])]
            report = v.judge(v.Ledger(), enumerate(changed), max(used, default=0))
    print(line(report), flush=True)
