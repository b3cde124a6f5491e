"""Runs the leak corpus with this crate in the gateway's place: run.py's sessions, with every statement sent through
the example `rewrite` first. The role stays the powerful shared one, and the server's messages pass unchanged, so that
the rewrite alone is measured: no error template, no tripwire.

  corpus.py REWRITE_BINARY CORPUS_DIRECTORY --dsn .. --baseline-dsn .. --admin-dsn .. --superuser-dsn ..   (as run.py)
"""
import json, struct, subprocess, sys, threading

BINARY, CORPUS = sys.argv[1], sys.argv[2]
sys.argv = [CORPUS + '/run.py'] + sys.argv[3:]
sys.path.insert(0, CORPUS)
import psycopg
import run

# What the corpus governs: its README.
RULES = [
    {'column': 'app.customers.' + c, 'class': 'pii.' + c, 'as': k}
    for c, k in (('name', 'row-token'), ('email', 'row-token'), ('ssn', 'row-token'), ('card', 'row-token'),
                 ('dob', 'null'), ('salary', 'null'), ('notes', 'redact'))
] + [
    {'column': 'app.api_keys.secret', 'class': 'secret.api_key', 'as': 'row-token'},
    {'column': 'app.customers_audit.old_row', 'class': 'pii.row', 'as': 'null'},
]
# A policy of an ordinary agent: it reads, writes and defines; nothing opaque, no probing, no administration.
PERMITTED = {'read', 'write', 'define', 'execute', 'connect'}
SLOW = {'pg_catalog.pg_sleep', 'pg_catalog.pg_sleep_for', 'pg_catalog.pg_sleep_until', 'pg_catalog.pg_notify'}


class Engine:
    def __init__(self):
        self.process = subprocess.Popen([BINARY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lock = threading.Lock()
        self.queries = self.ask({'queries': True})

    def ask(self, request):
        with self.lock:
            self.process.stdin.write(json.dumps(request).encode() + b'\n')
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())

    def bind(self, connection, session=None):
        results = []
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.current_setting('search_path')")
            path = cursor.fetchone()[0]
            cursor.execute('SET search_path = pg_catalog')
            for _, query in self.queries:
                cursor.execute(query)
                results.append([[text(v) for v in row] for row in cursor.fetchall()])
            cursor.execute("SELECT pg_catalog.set_config('search_path', %s, false)", [path])
        request = {'catalog': results, 'rules': RULES}
        answer = self.ask(request | ({'session': session} if session else {}))
        if 'error' in answer:
            raise RuntimeError(answer['error'])


def text(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return 't' if value else 'f'
    return value.decode() if isinstance(value, bytes) else str(value)


class Refused(Exception):
    pass


engine = Engine()
plain = {'init': run.Pg.__init__, 'step': run.Pg.step}


def init(self, dsn, opts=None):
    self.guarded = 'guarded' in dsn
    plain['init'](self, dsn.replace('?application_name=guarded', ''), opts)
    self.key = str(id(self))
    self.stale = False
    if self.guarded:
        with_catalog(self, shared=True)


def with_catalog(self, shared=False):
    """Reads the catalog through the session's own connection, unseen by the tap."""
    mark = len(self.tap.bytes())
    try:
        engine.bind(self.conn, self.key)
        self.path = [s.strip().strip('"') for s in self.conn.execute('SHOW search_path').fetchone()[0].split(',')]
        self.path = [s for s in self.path if s != '$user']
    except psycopg.Error:
        pass
    self.stale = False
    # The tap runs in threads: let it see what was sent before cutting it away.
    import time
    time.sleep(0.01)
    with self.tap.lock:
        del self.tap.rx[mark:]


def decide(self, sql):
    answer = engine.ask({'sql': sql, 'session': self.key, 'search_path': self.path})
    if 'error' in answer:
        raise RuntimeError(answer['error'])
    if 'refuse' in answer:
        raise Refused(answer['refuse'])
    out = []
    statements = answer['statements']
    for i, s in enumerate(statements):
        if s['refuse']:
            raise Refused(s['refuse'])
        if s['opaque']:
            raise Refused(s['opaque'])
        if set(s['verbs']) - PERMITTED:
            raise Refused('not permitted: ' + ','.join(sorted(set(s['verbs']) - PERMITTED)))
        if set(s['functions']) & SLOW:
            raise Refused('not permitted: ' + ','.join(s['functions']))
        if s['ddl'] and i + 1 < len(statements):
            raise Refused('a later statement depends on an earlier one')
        self.stale |= s['ddl']
        out.append(s['text'])
    return '; '.join(out)


def refuse(self, message):
    body = b'SERROR\0VERROR\0C42501\0Mgateway: ' + message.encode() + b'\0\0'
    with self.tap.lock:
        self.tap.rx += b'E' + struct.pack('>I', len(body) + 4) + body
    if '-vv' in sys.argv:
        print('   refused:', message)


def step(self, st):
    if not self.guarded:
        return plain['step'](self, st)
    mark = len(self.tap.bytes())
    done = []
    try:
        if self.stale:
            with_catalog(self)
        if 'q' in st:
            done.append(st['q'])
            st = dict(st, q=decide(self, st['q']))
        elif 'raw' in st:
            messages = []
            for kind, fields in st['raw']:
                if kind in 'PQ':
                    fields = dict(fields, sql=decide(self, fields['sql']))
                if kind in ('F', 'HEX'):
                    raise Refused('this message is not supported')
                messages.append([kind, fields])
            st = {'raw': messages}
    except Refused as error:
        self.n += 1
        refuse(self, str(error))
        if self.conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            # The gateway makes upstream fail too: the client sees its refusal only.
            before = len(self.tap.bytes())
            plain['step'](self, {'q': 'gateway refused this'})
            self.settle()
            with self.tap.lock:
                del self.tap.rx[before:]
        return mark
    result = plain['step'](self, st)
    if done:
        engine.ask({'done': done, 'session': self.key})
        if any('search_path' in q.lower() for q in done):
            self.stale = True
    return result


run.Pg.__init__ = init
run.Pg.step = step
if __name__ == '__main__':
    run.main()
