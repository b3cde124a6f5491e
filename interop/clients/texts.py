"""Sends generated texts of several statements over the simple protocol and prints, a line each, what came back:
statuses, tags, rows, errors, and the state of the transaction. Run directly and through the gateway, it must print the same.

usage: texts.py SEED COUNT, with the connection in PG* variables
"""

import json
import random
import sys

from psycopg import pq

PIECES = """
SELECT 1
SELECT id, amount FROM orders ORDER BY id LIMIT 2
SELECT 'a;b', $$c;d$$, E'e\\';f'
VALUES (1), (2)
SELECT id, t FROM pad ORDER BY id
SELECT count(*) FROM pad
INSERT INTO pad (t) VALUES ('x')
INSERT INTO pad (t) VALUES ('x') RETURNING t
INSERT INTO pad (id, t) VALUES (1, 'one')
UPDATE pad SET t = 'y' WHERE id = 1
DELETE FROM pad WHERE id = 1
DELETE FROM pad
SELECT 1 / 0
SELECT nope FROM orders
SELECT * FROM missing_table
SELECT no_such_function(1)
SELECT 'x'::integer
SELEC 1
SELECT (1
BEGIN
BEGIN
BEGIN ISOLATION LEVEL SERIALIZABLE
START TRANSACTION READ ONLY
COMMIT
COMMIT
ROLLBACK
ROLLBACK
COMMIT AND CHAIN
ROLLBACK AND CHAIN
SAVEPOINT a
SAVEPOINT b
ROLLBACK TO SAVEPOINT a
ROLLBACK TO b
RELEASE a
SET work_mem = '5MB'
SET LOCAL work_mem = '6MB'
SHOW work_mem
RESET work_mem
SET nonsense.setting = 1
SHOW nonsense_setting
CREATE TEMP TABLE tt (a integer)
INSERT INTO tt VALUES (7)
SELECT a FROM tt
DROP TABLE IF EXISTS tt
CREATE TABLE made (a integer)
SELECT a FROM made
DROP TABLE IF EXISTS made
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM orders ORDER BY id
FETCH 2 FROM c
MOVE 1 IN c
CLOSE c
PREPARE p AS SELECT id FROM orders WHERE id = $1
EXECUTE p(2)
DEALLOCATE p
DISCARD PLANS
DISCARD ALL
EXPLAIN (COSTS OFF) SELECT 1
VACUUM pad
SELECT $1
LISTEN ch
UNLISTEN *
SELECT pg_advisory_unlock_all()
SET TRANSACTION READ ONLY
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
SHOW transaction_isolation
""".strip().split("\n")

# What differed once. Each goes first, over the simple protocol and then, statement by statement, over the extended one.
FOUND = [
    "BEGIN; ROLLBACK AND CHAIN; BEGIN ISOLATION LEVEL SERIALIZABLE; SHOW transaction_isolation; ROLLBACK",
    "BEGIN; ROLLBACK AND CHAIN; SET LOCAL TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1; ROLLBACK",
]


def generated(rng):
    """One text: up to seven statements, with empty ones, comments and odd spaces between them."""
    between = [";", ";", ";", "; ", ";\n", ";;", "; /* a;b */ ", "; -- c;d\n"]
    parts = [rng.choice(PIECES) + rng.choice(between) for _ in range(rng.randint(1, 7))]
    text = "".join(parts)
    return text.rstrip("; \n") if rng.random() < 0.3 and "--" not in text else text


def said(result):
    field = pq.DiagnosticField
    told = [pq.ExecStatus(result.status).name, (result.command_status or b"").decode()]
    if result.status == pq.ExecStatus.FATAL_ERROR:
        wanted = (field.SQLSTATE, field.MESSAGE_PRIMARY, field.STATEMENT_POSITION)
        return told + [(result.error_field(which) or b"").decode() for which in wanted]
    names = [result.fname(column).decode() for column in range(result.nfields)]
    cell = lambda row, column: (result.get_value(row, column) or b"NULL").decode()
    rows = [[cell(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
    return told + [names, rows]


def ask(conn, text, send):
    """Sends a text, prints what it came to, and gives the state of the transaction behind it."""
    send(text.encode())
    results = []
    while (result := conn.get_result()) is not None:
        results.append(said(result))
    state = pq.TransactionStatus(conn.transaction_status).name
    print(json.dumps([text, results, state]))
    if conn.status != pq.ConnStatus.OK:
        sys.exit("the connection is gone")
    return state


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    rng = random.Random(seed)
    conn = pq.PGconn.connect(b"")
    assert conn.status == pq.ConnStatus.OK, conn.error_message
    conn.notice_handler = None
    for found in FOUND:
        ask(conn, found, conn.send_query)
        for statement in found.split("; "):
            ask(conn, statement, lambda text: conn.send_query_params(text, []))
    for _ in range(count):
        state = ask(conn, generated(rng), conn.send_query)
        # Texts begin in a transaction that the one before left open, but not forever.
        if rng.random() < 0.4 and state != "IDLE":
            conn.exec_(b"ROLLBACK")


main()
